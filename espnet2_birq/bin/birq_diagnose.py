"""Stage 8: what the labels and layers of a pretrained model are worth: diagnostics.json and figures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from espnet2_birq.bin.arguments import true_or_false
from espnet2_birq.errors import BadInputError, run_command

if TYPE_CHECKING:
    from espnet2_birq.diagnostics.pretrained import Pretrained
    from espnet2_birq.diagnostics.references import Reference, StepTimes
    from espnet2_birq.diagnostics.utterances import Utterance


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_diagnose", description=__doc__, allow_abbrev=False)
    parser.add_argument("--ssl_exp", type=Path, required=True, help="experiment folder of the pretraining")
    parser.add_argument("--data_dir", type=Path, required=True, help="formatted set to look at; text is used if there")
    parser.add_argument("--model", default="latest.pth", help="model file of the experiment (default: latest.pth)")
    parser.add_argument(
        "--compare_model", help="model file to compare labels with (default: the epoch before, if its file is there)"
    )
    parser.add_argument("--max_utterances", type=int, default=200, help="look at so many utterances (default: 200)")
    parser.add_argument(
        "--alignment",
        type=Path,
        help="phone alignment, '<utterance><TAB>p1,p2,...' with 10 ms each (default: characters, spread evenly over "
        "the utterance, or aligned by the model of --asr_exp)",
    )
    parser.add_argument("--asr_exp", type=Path, help="fine-tuned CTC model that aligns the transcripts")
    parser.add_argument("--asr_model", default="valid.loss.ave.pth", help="its model (default: valid.loss.ave.pth)")
    parser.add_argument("--probe", type=true_or_false, default=False, help="train a linear CTC probe, too")
    parser.add_argument("--batch_seconds", type=float, default=60.0, help="audio in one batch (default: 60)")
    parser.add_argument("--out_dir", type=Path, help="gets the files (default: SSL_EXP/diagnostics)")
    return parser


def main() -> None:
    args = get_parser().parse_args()
    if args.alignment is not None and args.asr_exp is not None:
        raise BadInputError("--alignment and --asr_exp are two sources of one reference; give one of them")
    import json

    from espnet2_birq.corpus.tables import write_text_atomically
    from espnet2_birq.diagnostics.draw import draw_figures
    from espnet2_birq.diagnostics.pretrained import earlier_model, read_pretrained
    from espnet2_birq.diagnostics.report import diagnose
    from espnet2_birq.diagnostics.summary import rounded, summary
    from espnet2_birq.diagnostics.utterances import read_utterances

    pretrained = read_pretrained(args.ssl_exp, args.model)
    compare = args.compare_model or earlier_model(args.ssl_exp, args.model)
    other = None if compare is None else read_pretrained(args.ssl_exp, compare)
    utterances = read_utterances(args.data_dir, pretrained.sampling_rate, pretrained.shortest, args.max_utterances)

    def make_reference(chosen: list[Utterance], times: StepTimes, num_steps: dict[str, int]) -> Reference | None:
        return find_reference(args, pretrained, chosen, times, num_steps)

    report, collected, reference = diagnose(
        pretrained, utterances, make_reference, other, args.batch_seconds, args.probe
    )
    out_dir = args.out_dir or args.ssl_exp / "diagnostics"
    out_dir.mkdir(parents=True, exist_ok=True)
    header = {"pretraining": args.ssl_exp.resolve().name, "data_dir": str(args.data_dir)}
    figures = draw_figures(out_dir, args.ssl_exp, pretrained, utterances, report, collected, reference)
    write_text_atomically(out_dir / "diagnostics.json", json.dumps(rounded(header | report), indent=2) + "\n")
    print("\n".join(summary(report)))
    print(f"{out_dir}: diagnostics.json, {', '.join(figures)}")


def find_reference(
    args: argparse.Namespace,
    pretrained: Pretrained,
    utterances: list[Utterance],
    times: StepTimes,
    num_steps: dict[str, int],
) -> Reference | None:
    """Reference classes from the source that the options name; None without a transcript."""
    from espnet2_birq.diagnostics.references import file_reference, uniform_reference

    if args.alignment is not None:
        return file_reference(args.alignment, times, num_steps)
    if args.asr_exp is not None:
        from espnet2_birq.diagnostics.ctc_alignment import ctc_reference

        return ctc_reference(utterances, times, num_steps, pretrained.sampling_rate, args.asr_exp, args.asr_model)
    return uniform_reference(utterances, times, num_steps, pretrained.sampling_rate)


if __name__ == "__main__":
    run_command("birq_diagnose", main)
