"""Stage 3: decode, resample and cut the audio of a data directory."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.bin.arguments import true_or_false
from espnet2_birq.errors import BadInputError, run_command


def sampling_rate(text: str) -> int:
    """``16000`` or ``16k`` in Hz."""
    try:
        hertz = round(float(text[:-1]) * 1000) if text.endswith("k") else int(text)
    except ValueError:
        hertz = 0
    if hertz <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a sampling rate; write 16000 or 16k")
    return hertz


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_format", description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="data directory to read")
    parser.add_argument("--out_dir", type=Path, required=True, help="formatted set to write")
    parser.add_argument("--fs", type=sampling_rate, default=16000, help="sampling rate of the output: 16000 or 16k")
    parser.add_argument("--audio_format", choices=("flac", "wav"), default="flac", help="16-bit FLAC or WAV")
    parser.add_argument("--nj", type=int, default=1, help="worker processes")
    parser.add_argument("--expect_fs", type=sampling_rate, help="refuse sources with any other sampling rate")
    parser.add_argument(
        "--skip_bad",
        type=true_or_false,
        default=False,
        help="leave unusable audio out (dropped.tsv) instead of failing",
    )
    parser.add_argument(
        "--reuse", type=Path, nargs="*", default=[], help="formatted sets whose audio files may serve this set too"
    )
    return parser


def main() -> None:
    args = get_parser().parse_args()
    if args.nj < 1:
        raise BadInputError(f"--nj is {args.nj}; at least one worker is needed")
    from espnet2_birq.corpus.format_recording import FormatOptions
    from espnet2_birq.corpus.formatting import format_data_dir

    options = FormatOptions(args.fs, args.audio_format, args.nj, args.expect_fs, args.skip_bad)
    format_data_dir(args.data_dir, args.out_dir, options, args.reuse)


if __name__ == "__main__":
    run_command("birq_format", main)
