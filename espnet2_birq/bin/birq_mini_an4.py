"""Stage 1 of mini_an4: write the data directories of the eight utterances inside the ESPnet package."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_mini_an4", description=__doc__)
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="where the sets go")
    parser.add_argument("--downloads", type=Path, default=Path("downloads"), help="gets the unpacked archive")
    parser.add_argument("--archive", type=Path, help="the archive, instead of the one inside ESPnet")
    return parser


def main() -> None:
    args = get_parser().parse_args()
    from espnet2_birq.corpus.mini_an4 import prepare

    prepare(args.data_dir, args.downloads, args.archive)


if __name__ == "__main__":
    run_command("birq_mini_an4", main)
