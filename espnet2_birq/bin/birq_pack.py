"""Pack a model into a zip that ESPnet and espnet_model_zoo load. Run in the folder of the recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.errors import run_command
from espnet2_birq.hub import pack


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_pack", description=__doc__, allow_abbrev=False)
    parser.add_argument("kind", choices=["ssl", "asr"], help="the exported encoder, or an ASR model")
    parser.add_argument("--exp", type=Path, required=True, help="experiment folder")
    parser.add_argument("--model", default="valid.loss.ave.pth", help="asr: which model of the experiment")
    parser.add_argument("--out", type=Path, required=True, help="zip file to write")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    contents = pack.ssl_contents(args.exp) if args.kind == "ssl" else pack.asr_contents(args.exp, args.model)
    names = pack.write_pack(contents, args.out)
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)\n{pack.list_of(names)}")


if __name__ == "__main__":
    run_command("birq_pack", main)
