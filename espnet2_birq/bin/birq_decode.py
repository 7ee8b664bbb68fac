"""Decode a data directory with the CTC branch of an ASR model: greedy, in batches."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from espnet2_birq.errors import BadInputError, run_command


def positive_seconds(text: str) -> float:
    """A number above zero."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_decode", description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, help="YAML file with values for batch_seconds and ngpu")
    parser.add_argument("--asr_train_config", type=Path, required=True, help="config.yaml of the ASR model")
    parser.add_argument("--asr_model_file", type=Path, required=True, help="parameters of the ASR model")
    parser.add_argument("--data_dir", type=Path, required=True, help="formatted set (stage 3)")
    parser.add_argument("--output_dir", type=Path, required=True, help="gets text, token, token_int and score")
    parser.add_argument(
        "--batch_seconds", type=positive_seconds, default=120.0, help="audio in a batch, padding included"
    )
    parser.add_argument("--ngpu", type=int, default=0, help="0: processor, 1 or more: the first GPU")
    return parser


def read_config(path: Path) -> list[str]:
    """Command line arguments that a YAML file stands for.

    Raises:
        BadInputError: naming a key that is not an option of decoding.
    """
    import yaml

    allowed = ["batch_seconds", "ngpu"]
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise BadInputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    arguments = []
    for key, value in tree.items():
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f"did you mean {close[0]}?" if close else "beam search is --asr_inference espnet"
            raise BadInputError(f"{path}: unknown key {key}: {hint} (allowed: {', '.join(allowed)})")
        arguments.append(f"--{key}={value}")
    return arguments


def main(argv: list[str] | None = None) -> None:

    argv = sys.argv[1:] if argv is None else argv
    parser = get_parser()
    args = parser.parse_args(argv)
    if args.config is not None:
        args = parser.parse_args([*read_config(args.config), *argv])

    import torch

    if args.ngpu > 0 and not torch.cuda.is_available():
        raise BadInputError(f"--ngpu {args.ngpu}: this machine has no usable GPU: give --ngpu 0")
    from espnet2_birq.decode.ctc import GreedyDecoder
    from espnet2_birq.decode.data_dir import decode_data_dir

    decoder = GreedyDecoder(args.asr_train_config, args.asr_model_file, "cuda" if args.ngpu > 0 else "cpu")
    decode_data_dir(decoder, args.data_dir, args.output_dir, args.batch_seconds)


if __name__ == "__main__":
    run_command("birq_decode", main)
