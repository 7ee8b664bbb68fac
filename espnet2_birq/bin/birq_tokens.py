"""Stage 5: make the token list from transcripts, and check transcripts against it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from espnet2_birq.corpus.token_list import check_characters, write_token_list
from espnet2_birq.errors import BadInputError, run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_tokens", description=__doc__)
    parser.add_argument("--text", type=Path, nargs="+", help="transcripts to make the list from; without, only --check")
    parser.add_argument("--token_type", choices=("char", "bpe"), default="char", help="kind of token")
    parser.add_argument("--nbpe", type=int, default=500, help="number of BPE tokens, special ones included")
    parser.add_argument("--out_dir", type=Path, required=True, help="folder of tokens.txt (and bpe.model)")
    parser.add_argument(
        "--check", type=Path, nargs="+", default=[], help="transcripts that must be free of other characters"
    )
    parser.add_argument(
        "--unknown_characters", choices=("error", "warn"), default="error", help="what --check does when it finds some"
    )
    return parser


def main() -> None:
    args = get_parser().parse_args()
    if not args.text and not args.check:
        raise BadInputError("nothing to do; give --text to make a token list, --check to check transcripts, or both")
    if args.text:
        tokens = write_token_list(args.text, args.out_dir, args.token_type, args.nbpe)
        print(f"{args.out_dir / 'tokens.txt'}: {len(tokens)} tokens")
    lines = check_characters(args.check, args.out_dir)
    if lines and args.unknown_characters == "error":
        raise BadInputError(lines[0] if len(lines) == 1 else f"{lines[0]}; and {len(lines) - 1} more file(s)")
    for line in lines:
        print(f"birq_tokens: warning: {line}", file=sys.stderr)


if __name__ == "__main__":
    run_command("birq_tokens", main)
