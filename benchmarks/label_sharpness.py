"""How sharp is the enhanced label? Perplexity and agreement by codebook size and scale, distance, temperature, noise.

Hidden vectors are N(0, 1), 768 wide, as a normalised layer output is; code width 16; 2000 steps per seed. Writes
``label_sharpness.csv`` beside this file. Run: ``python benchmarks/label_sharpness.py`` (about two minutes on one core).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from pathlib import Path

import torch

from espnet2_birq.labels import EnhancedLabels, RandomProjectionQuantizer
from espnet2_birq.labels.selection import NOISE_KINDS

HIDDEN_DIM, STEPS = 768, 2000
NUM_CODES = (128, 256, 1024, 8192)
# (distance, codebook scale)
CODEBOOKS = (("raw", 1.0), ("raw", 2.0), ("l2", 1.0), ("l2", 16.0))
TAUS = (0.05, 0.1, 0.5, 1.0)
MEASURED = ("perplexity", "agreement", "code_perplexity")
COLUMNS = ("num_codes", "distance", "codebook_scale", "tau", "noise", *MEASURED)


def measure(
    num_codes: int, distance: str, codebook_scale: float, tau: float, noise: str, seeds: int
) -> dict[str, float]:
    """Mean `LabelStatistics` over seeds of codebook, vectors and noise."""
    totals = dict.fromkeys(MEASURED, 0.0)
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.randn(STEPS, HIDDEN_DIM, generator=generator)
        quantizer = RandomProjectionQuantizer(
            HIDDEN_DIM, num_codes=num_codes, distance=distance, seed=seed, codebook_scale=codebook_scale
        )
        with torch.no_grad():
            _, statistics = EnhancedLabels(HIDDEN_DIM, quantizer, tau=tau, noise=noise)(
                hidden, quantizer, generator=generator
            )
        for name in totals:
            totals[name] += float(getattr(statistics, name)) / seeds
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="codebooks to average over (default: 3)")
    parser.add_argument("--num_codes", type=int, nargs="+", default=NUM_CODES, help=f"default: {NUM_CODES}")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"), help="CSV file to write")
    args = parser.parse_args()
    rows = [COLUMNS]
    for num_codes, codebook, tau, noise in itertools.product(args.num_codes, CODEBOOKS, TAUS, NOISE_KINDS):
        measured = measure(num_codes, *codebook, tau, noise, args.seeds)
        rows.append((num_codes, *codebook, tau, noise, *(f"{value:.4g}" for value in measured.values())))
    with open(args.out, "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
