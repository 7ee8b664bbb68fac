"""Score hypotheses against references: word, character and (with a BPE model) token error rate, with alignments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from espnet2_birq.corpus.tables import read_table
from espnet2_birq.decode import report, scoring
from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_score", description=__doc__, allow_abbrev=False)
    parser.add_argument("--ref", type=Path, required=True, help="reference text: '<utterance> <words>' lines")
    parser.add_argument("--hyp", type=Path, required=True, help="hypothesis text, in the same form")
    parser.add_argument("--out_dir", type=Path, required=True, help="gets score_{wer,cer,ter}/result.{txt,json}")
    parser.add_argument("--utt2spk", type=Path, help="speakers, for a table by speaker")
    parser.add_argument("--bpemodel", type=Path, help="sentencepiece model, for the token error rate")
    parser.add_argument("--ignore_case", choices=["true", "false"], default="false", help="compare in lower case")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    references = read_table(args.ref, allow_empty_values=True)
    hypotheses = read_table(args.hyp, allow_empty_values=True)
    speakers = read_table(args.utt2spk) if args.utt2spk else {}
    missing = [utterance for utterance in references if utterance not in hypotheses]
    if missing:
        print(
            f"birq_score: warning: {args.hyp}: {len(missing)} of {len(references)} utterances have no hypothesis and "
            f"count as deleted, the first is {missing[0]}",
            file=sys.stderr,
        )
    if args.ignore_case == "true":
        references = {key: text.lower() for key, text in references.items()}
        hypotheses = {key: text.lower() for key, text in hypotheses.items()}

    tokenizers: dict[str, scoring.Tokenizer] = {"wer": scoring.split_words, "cer": scoring.split_characters}
    if args.bpemodel:
        tokenizers["ter"] = scoring.sentencepiece_tokenizer(args.bpemodel)
    for name, tokenize in tokenizers.items():
        score = scoring.score(references, hypotheses, tokenize, speakers)
        report.write_score(score, args.out_dir / f"score_{name}")
        print(f"{name.upper()} of {args.hyp}\n{report.table(score)}\n")


if __name__ == "__main__":
    run_command("birq_score", main)
