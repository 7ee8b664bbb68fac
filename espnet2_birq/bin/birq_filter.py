"""Stage 4: leave out utterances that cannot be trained on, and report which and why (dropped.tsv)."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.bin.arguments import true_or_false
from espnet2_birq.corpus.filtering import filter_data_dir
from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_filter", description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="formatted set to read")
    parser.add_argument("--out_dir", type=Path, required=True, help="filtered set to write")
    parser.add_argument("--min_seconds", type=float, default=0.1, help="shortest utterance kept")
    parser.add_argument("--max_seconds", type=float, default=30.0, help="longest utterance kept")
    parser.add_argument(
        "--text", type=true_or_false, default=False, help="also leave out what has no transcript (default: false)"
    )
    return parser


def main() -> None:
    args = get_parser().parse_args()
    filter_data_dir(args.data_dir, args.out_dir, args.min_seconds, args.max_seconds, args.text)


if __name__ == "__main__":
    run_command("birq_filter", main)
