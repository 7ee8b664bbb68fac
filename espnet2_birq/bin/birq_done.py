"""Remember which steps of a recipe are finished, and for which options and inputs.

``begin`` prints the key of the step and exits with 0 when it has to run, 3 when it is finished; ``end`` marks it;
``hash`` prints the key only, to name a folder after what its content depends on; ``resume`` says whether a training may
go on from the checkpoint in its folder.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from espnet2_birq.errors import run_command
from espnet2_birq.pipeline import done, resume

FINISHED = 3


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_done", description=__doc__, allow_abbrev=False)
    parser.add_argument("verb", choices=["begin", "end", "hash", "resume"])
    parser.add_argument("--stage", required=True, help="number of the stage")
    parser.add_argument("--folder", type=Path, default=Path(".done"), help="where the markers are")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option that matters")
    parser.add_argument("--input", action="append", default=[], type=Path, help="a file or folder that is read")
    parser.add_argument("--scp", action="append", default=[], type=Path, help="a wav.scp that is read, with its audio")
    parser.add_argument("--output", action="append", default=[], type=Path, help="a file that the step leaves")
    parser.add_argument("--output_scp", action="append", default=[], type=Path, help="a wav.scp left, with its audio")
    parser.add_argument("--key", help="end: the key that begin printed")
    parser.add_argument("--exp", type=Path, help="resume: experiment folder")
    parser.add_argument("--config", type=Path, help="resume, hash: training configuration")
    parser.add_argument("--args", default="", help="resume, hash: arguments that override the configuration")
    parser.add_argument(
        "--config_key", action="append", default=[], help="hash: part of the configuration that matters"
    )
    parser.add_argument("--restart", choices=["true", "false"], default="false", help="resume: start anew if changed")
    parser.add_argument("--advice", default="another --tag", help="resume: how the user names another folder")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    options = list(args.option)
    if args.verb == "hash" and args.config:
        for key, value in sorted(resume.settings(args.config, shlex.split(args.args)).items()):
            if any(key == part or key.startswith(f"{part}.") for part in args.config_key):
                options.append(f"{key}={value}")
    paths = (tuple(group) for group in (args.input, args.scp, args.output, args.output_scp))
    step = done.Step(args.stage, tuple(options), *paths)
    if args.verb == "begin":
        verdict = done.begin(args.folder, step)
        if verdict.reason:
            print(verdict.reason, file=sys.stderr)
        print(verdict.key)
        sys.exit(FINISHED if verdict.done else 0)
    if args.verb == "end":
        done.end(args.folder, step, args.key)
    elif args.verb == "hash":
        print(done.state_hash(step.state()))
    else:
        arguments = shlex.split(args.args)
        inputs = step.state()["inputs"]
        line = resume.check_resume(args.exp, args.config, arguments, inputs, args.restart == "true", args.advice)
        if line:
            print(line)


if __name__ == "__main__":
    run_command("birq_done", main)
