"""Stage 10: write the encoder tensors that an ASR model starts from, checked key by key.

Options that are not listed are ESPnet's own and override the ASR configuration.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_init", description=__doc__, allow_abbrev=False)
    parser.add_argument("--export", type=Path, required=True, help="folder that birq_export wrote")
    parser.add_argument("--asr_config", type=Path, required=True, help="configuration of the ASR training")
    parser.add_argument("--out", type=Path, required=True, help="file to write, for --init_param FILE:encoder:encoder")
    parser.add_argument(
        "--layers", type=int, help="transfer the input layer and this many of the lowest layers (default: everything)"
    )
    return parser


def main() -> None:
    args, asr_arguments = get_parser().parse_known_args()
    from espnet2_birq.hub.init import write_initial_encoder

    transfer = write_initial_encoder(args.export, args.asr_config, args.out, args.layers, asr_arguments)
    print(transfer.summary())
    print(f"start the ASR training with --init_param {transfer.init_param}")


if __name__ == "__main__":
    run_command("birq_init", main)
