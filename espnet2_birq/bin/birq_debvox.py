"""Stage 1 of DebVox: get the Debian packages and write the data directories."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.corpus.debvox_sources import LANGUAGES
from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_debvox", description=__doc__)
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="where the sets go")
    parser.add_argument("--downloads", type=Path, default=Path("downloads"), help="keeps packages and their content")
    parser.add_argument("--mirror", type=Path, help="folder that holds the .deb files; nothing is downloaded then")
    parser.add_argument("--langs", nargs="+", default=list(LANGUAGES), choices=LANGUAGES, help="languages to prepare")
    return parser


def main() -> None:
    args = get_parser().parse_args()
    from espnet2_birq.corpus.debvox import prepare

    prepare(args.data_dir, args.downloads, args.mirror, args.langs)


if __name__ == "__main__":
    run_command("birq_debvox", main)
