"""Fetch a packed model and lay it out like an experiment; prints its kind (ssl or asr) and folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_download", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", required=True, help="zip file, URL, or name on the Hugging Face hub")
    parser.add_argument("--expdir", type=Path, default=Path("exp"), help="where experiments are")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_birq.hub.download import lay_out

    kind, folder = lay_out(args.model, args.expdir)
    print(kind, folder)


if __name__ == "__main__":
    run_command("birq_download", main)
