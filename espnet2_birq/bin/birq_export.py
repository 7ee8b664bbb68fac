"""Stage 8: export the pretrained encoder for unmodified ESPnet."""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.errors import run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_export", description=__doc__)
    parser.add_argument("--ssl_exp", type=Path, required=True, help="experiment folder of the pretraining")
    parser.add_argument("--model", default="latest.pth", help="model file in it, such as valid.loss.ave.pth")
    parser.add_argument("--out_dir", type=Path, required=True, help="gets config.yaml, encoder.pth and export.json")
    return parser


def main() -> None:
    args = get_parser().parse_args()
    from espnet2_birq.hub.export import PARAMETERS, export_encoder

    export = export_encoder(args.ssl_exp, args.model, args.out_dir)
    print(
        f"{args.out_dir}: encoder of {export.pretraining} ({export.model_file}), {export.tensors} tensors, "
        f"{export.encoder_parameters / 1e6:.2f} M parameters, quantizer {export.quantizer_fingerprint[:12]}"
    )
    if export.needs_plugin:
        print(
            "preencoder stacking is not in ESPnet: fine-tune with espnet2_birq.bin.birq_asr_train and "
            f"--init_param {args.out_dir / PARAMETERS}:encoder:encoder"
        )


if __name__ == "__main__":
    run_command("birq_export", main)
