"""Centroids of what the anchoring label is made from, for ``quantizer: centroids`` (HuBERT's labels).

Options that are not listed are those of birq_train and override the configuration: ``--anchor mfcc`` for the first
round, ``--anchor teacher --anchor_conf model_file=...`` for later ones.
"""

from __future__ import annotations

import argparse

from espnet2_birq.bin.birq_pca import add_input_arguments
from espnet2_birq.errors import BadInputError, run_command


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birq_kmeans", description=__doc__, allow_abbrev=False)
    add_input_arguments(parser, max_steps=500_000)
    parser.add_argument("--num_codes", type=int, help="centroids (default: num_codes of quantizer_conf, or 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the utterances' order and of k-means (default: 0)")
    return parser


def main() -> None:
    args, train_arguments = get_parser().parse_known_args()
    import torch
    from sklearn.cluster import MiniBatchKMeans

    from espnet2_birq.labels.arrays import save_arrays
    from espnet2_birq.tasks.inputs import anchor_vectors, configured_model

    torch.set_num_threads(1)  # as in birq_pca
    model, config = configured_model(args.config, train_arguments)
    num_codes = args.num_codes or config.quantizer_conf.get("num_codes") or 100
    vectors = torch.cat(list(anchor_vectors(model, args.data_dir, args.fs, args.max_steps, args.seed))).numpy()
    if not 1 <= num_codes <= len(vectors):
        raise BadInputError(f"--num_codes must be 1 to {len(vectors)}, the number of steps, got {num_codes}")
    # HuBERT's settings: good starts matter more than many passes.
    kmeans = MiniBatchKMeans(
        num_codes,
        batch_size=10_000,
        n_init=20,
        max_no_improvement=100,
        random_state=args.seed,
        compute_labels=False,
    ).fit(vectors)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(args.out, centroids=kmeans.cluster_centers_)
    explained = 1 - (-kmeans.score(vectors) / len(vectors)) / vectors.var(axis=0).sum()
    print(f"{args.out}: {num_codes} centroids of {len(vectors)} steps, {explained:.0%} of their variance explained")


if __name__ == "__main__":
    run_command("birq_kmeans", main)
