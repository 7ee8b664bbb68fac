"""Statistics of label sequences: how many codes are in use, and what two sequences say about each other.

Labels are integers of any origin (codes, characters, phones), as flat arrays with one entry per step. Entropies are in
nats. Nothing here knows about models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CodeUse:
    """How a codebook is used.

    Attributes:
        codes: N, codes in the codebook.
        used: codes that occur.
        dead: codes that never occur.
        perplexity: exp(entropy): the number of equally frequent codes that would carry as much information.
        majority_rate: share of the most frequent code: the accuracy of always guessing it.
    """

    codes: int
    used: int
    dead: int
    perplexity: float
    majority_rate: float


def code_counts(labels: np.ndarray, num_codes: int) -> np.ndarray:
    """How often every code occurs: (S,) -> int64 (num_codes,).

    Raises:
        ValueError: if there are no labels, or one is not a code.
    """
    labels = np.asarray(labels)
    if not labels.size:
        raise ValueError("no labels to count")
    if labels.min() < 0 or labels.max() >= num_codes:
        raise ValueError(f"labels must lie in 0 to {num_codes - 1}, found {labels.min()} to {labels.max()}")
    return np.bincount(labels, minlength=num_codes)


def code_use(labels: np.ndarray, num_codes: int) -> CodeUse:
    """Use of a codebook of ``num_codes`` by labels (S,)."""
    counts = code_counts(labels, num_codes)
    used = int(np.count_nonzero(counts))
    share = float(counts.max() / counts.sum())
    return CodeUse(num_codes, used, num_codes - used, float(np.exp(entropy_of_counts(counts))), share)


def entropy_of_counts(counts: np.ndarray) -> float:
    """Entropy in nats of the distribution that counts of any shape stand for."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def entropy(labels: np.ndarray) -> float:
    """Entropy in nats of labels (S,)."""
    return entropy_of_counts(np.unique(labels, return_counts=True)[1])


def contingency(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How often each pair of labels occurs at the same step: (distinct labels of first, of second).

    Raises:
        ValueError: if the sequences are empty or differ in length.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"label sequences must be flat, equally long and not empty: {first.shape} and {second.shape}")
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    pairs = np.bincount(row * len(columns) + column, minlength=len(rows) * len(columns))
    return pairs.reshape(len(rows), len(columns))


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """I(first; second) in nats; never negative."""
    table = contingency(first, second)
    rows, columns = entropy_of_counts(table.sum(1)), entropy_of_counts(table.sum(0))
    return max(0.0, rows + columns - entropy_of_counts(table))


def normalized_mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """NMI, 2 I / (H(first) + H(second)): 0 for independent sequences, 1 for a one-to-one renaming.

    Two constant sequences are renamings of each other: 1.
    """
    total = entropy(first) + entropy(second)
    return 2 * mutual_information(first, second) / total if total > 0 else 1.0


def purity(labels: np.ndarray, reference: np.ndarray) -> float:
    """Accuracy of guessing for every label its most frequent reference class (HuBERT's phone purity)."""
    return float(contingency(labels, reference).max(1).sum() / len(labels))


def cluster_purity(labels: np.ndarray, reference: np.ndarray) -> float:
    """Accuracy of guessing for every reference class its most frequent label."""
    return purity(reference, labels)


def pnmi(labels: np.ndarray, reference: np.ndarray) -> float:
    """Phone-normalised mutual information I(labels; reference) / H(reference): the share of the reference that the
    labels tell; 0 if the reference is constant.

    With many codes and few steps it is large for labels without meaning; compare it with that of shuffled labels.
    """
    classes = entropy(reference)
    return mutual_information(labels, reference) / classes if classes > 0 else 0.0


def churn(first: np.ndarray, second: np.ndarray) -> float:
    """Share of steps whose label differs between two label sets of one codebook.

    Raises:
        ValueError: if the sequences are empty or differ in length.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or not first.size:
        raise ValueError(f"label sets must be equally long and not empty: {first.shape} and {second.shape}")
    return float((first != second).mean())


def worth(labels: np.ndarray, reference: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Purity and PNMI of labels (S,) against reference classes (S,), and what labels without meaning would reach.

    Steps whose reference class is negative do not count. Shuffling keeps how often every label occurs, so it shows
    how much of a value is owed to the number of codes alone.
    """
    known = np.asarray(reference) >= 0
    labels, reference = np.asarray(labels)[known], np.asarray(reference)[known]
    shuffled = np.random.default_rng(seed).permutation(labels)
    return {
        "purity": purity(labels, reference),
        "cluster_purity": cluster_purity(labels, reference),
        "pnmi": pnmi(labels, reference),
        "purity_of_shuffled_labels": purity(shuffled, reference),
        "pnmi_of_shuffled_labels": pnmi(shuffled, reference),
    }
