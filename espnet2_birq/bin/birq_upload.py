"""Upload a pack with a model card to the Hugging Face hub; by default only print what would be sent."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.bin.arguments import true_or_false
from espnet2_birq.errors import run_command
from espnet2_birq.hub.upload import make_plan, upload


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_upload", description=__doc__, allow_abbrev=False)
    parser.add_argument("--pack", type=Path, required=True, help="zip file of stage 13")
    parser.add_argument("--hf_repo", required=True, metavar="OWNER/NAME", help="repository to upload to")
    parser.add_argument("--dry_run", type=true_or_false, default=True, help="true (default): send nothing")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    plan = make_plan(args.pack, args.hf_repo)
    if args.dry_run:
        print(f"would upload to {plan.describe()}")
    else:
        print(f"uploading to {plan.describe()}", flush=True)
        print(f"uploaded: {upload(plan)}")


if __name__ == "__main__":
    run_command("birq_upload", main)
