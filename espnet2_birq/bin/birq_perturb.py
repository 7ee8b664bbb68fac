"""Stage 2: copies of a data directory at other speeds (applied to the audio by birq_format)."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.corpus.data_dir import read_data_dir, write_data_dir
from espnet2_birq.corpus.speed import perturb_speed
from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_perturb", description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="data directory to read")
    parser.add_argument("--out_dir", type=Path, required=True, help="data directory to write")
    parser.add_argument("--factors", type=float, nargs="+", required=True, help="speeds, for example 0.9 1.0 1.1")
    return parser


def main() -> None:
    args = get_parser().parse_args()
    data = perturb_speed(read_data_dir(args.data_dir), args.factors)
    write_data_dir(args.out_dir, data)
    print(f"{args.out_dir}: {len(data.utt2spk)} utterances at {len(set(args.factors))} speeds")


if __name__ == "__main__":
    run_command("birq_perturb", main)
