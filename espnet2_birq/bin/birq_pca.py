"""Stage 6: principal components of what the anchoring label is made from, for ``quantizer: pca_projection``.

Options that are not listed are those of birq_train and override the configuration.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet2_birq.errors import run_command


def add_input_arguments(parser: argparse.ArgumentParser, max_steps: int) -> None:
    """What every command needs that reads anchor vectors."""
    parser.add_argument("--config", type=Path, required=True, help="configuration of the pretraining")
    parser.add_argument("--data_dir", type=Path, required=True, help="formatted set (stage 4) to take the audio from")
    parser.add_argument("--out", type=Path, required=True, help=".npz file to write")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate in Hz (default: 16000)")
    parser.add_argument(
        "--max_steps", type=int, default=max_steps, help=f"encoder steps to use at most (default: {max_steps})"
    )


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_pca", description=__doc__, allow_abbrev=False)
    add_input_arguments(parser, max_steps=100_000)
    return parser


def main() -> None:
    args, train_arguments = get_parser().parse_known_args()
    import torch

    from espnet2_birq.labels.statistics import FeatureMoments
    from espnet2_birq.tasks.inputs import anchor_vectors, configured_model

    # One utterance at a time is too little work to share: with two threads it takes longer, on a busy machine by far.
    torch.set_num_threads(1)
    model, _ = configured_model(args.config, train_arguments)
    moments = FeatureMoments(model.anchor.size)
    for vectors in anchor_vectors(model, args.data_dir, args.fs, args.max_steps):
        moments.add(vectors)
    components = moments.principal_components()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    components.save(args.out)
    share = components.variances.cumsum(0) / components.variances.sum()
    kept = ", ".join(f"{float(share[dims - 1]):.0%} in {dims}" for dims in (1, 16, 64) if dims <= len(share))
    print(f"{args.out}: {moments.count} steps of width {moments.sum.numel()}; of the variance, {kept} dimensions")


if __name__ == "__main__":
    run_command("birq_pca", main)
