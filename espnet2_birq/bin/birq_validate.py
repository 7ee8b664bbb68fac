"""Stage 1: check a data directory, and say in one line what is wrong, where, and what to do."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.bin.arguments import true_or_false
from espnet2_birq.corpus.data_dir import validate_data_dir
from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_validate", description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="data directory to check")
    parser.add_argument(
        "--text", type=true_or_false, default=False, help="whether every utterance needs a transcript (default: false)"
    )
    return parser


def main() -> None:
    args = get_parser().parse_args()
    data = validate_data_dir(args.data_dir, args.text)
    transcripts = f", {len(data.text)} transcripts" if data.text else ""
    speakers = len(set(data.utt2spk.values()))
    print(f"{args.data_dir}: {len(data.utt2spk)} utterances of {speakers} speakers{transcripts}: good")


if __name__ == "__main__":
    run_command("birq_validate", main)
