"""Write RESULTS.md over all scores of a folder of experiments, or compare models on a test set."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.corpus.tables import write_text_atomically
from espnet2_birq.decode.results import comparison_csv, comparison_table, results_markdown
from espnet2_birq.errors import BadInputError, run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_results", description=__doc__, allow_abbrev=False)
    parser.add_argument("--expdir", type=Path, help="gets RESULTS.md over all scores below it")
    parser.add_argument("--compare", nargs="+", metavar="NAME=FOLDER", help="experiments; the first is the reference")
    parser.add_argument("--set", nargs="+", default=[], metavar="SET", help="compare: test sets")
    parser.add_argument("--decoding", help="compare: name of the decoding folder, when there are several")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="compare: write the raw rows here, too")
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = get_parser()
    args = parser.parse_args(argv)
    if (args.expdir is None) == (args.compare is None):
        parser.error("give either --expdir or --compare")
    if args.expdir is not None:
        path = args.expdir / "RESULTS.md"
        write_text_atomically(path, results_markdown(args.expdir))
        print(f"wrote {path}")
        return
    if not args.set:
        parser.error("--compare needs --set")
    systems = {}
    for entry in args.compare:
        name, separator, folder = entry.rpartition("=")
        if not separator:
            raise BadInputError(f"--compare {entry}: expected NAME=FOLDER, e.g. BiRQ=exp/asr_x")
        systems[name] = Path(folder)
    if args.csv is not None:
        write_text_atomically(args.csv, comparison_csv(systems, args.decoding, args.set))
    print("\n\n".join(comparison_table(systems, args.decoding, test_set) for test_set in args.set))


if __name__ == "__main__":
    run_command("birq_results", main)
