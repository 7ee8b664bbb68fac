"""Label statistics on sequences whose answer is known, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from espnet2_birq.diagnostics.label_statistics import (
    churn,
    cluster_purity,
    code_use,
    contingency,
    entropy,
    mutual_information,
    normalized_mutual_information,
    pnmi,
    purity,
    worth,
)

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(-2, 9)), min_size=1, max_size=60).map(
    lambda pairs: (np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
)


def test_equally_frequent_codes_have_their_number_as_perplexity() -> None:
    use = code_use(np.repeat([1, 4, 6], 5), 8)
    assert (use.codes, use.used, use.dead) == (8, 3, 5)
    assert use.perplexity == pytest.approx(3)
    assert use.majority_rate == pytest.approx(1 / 3)


def test_a_single_code_has_perplexity_one_and_is_the_majority() -> None:
    use = code_use(np.zeros(9, dtype=int), 100)
    assert (use.perplexity, use.majority_rate, use.dead) == (1.0, 1.0, 99)


@given(PAIRS)
def test_mutual_information_is_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    assert mutual_information(first, second) == pytest.approx(mutual_info_score(first, second), abs=1e-9)
    assert normalized_mutual_information(first, second) == pytest.approx(
        normalized_mutual_info_score(first, second), abs=1e-9
    )
    assert mutual_information(first, first) == pytest.approx(entropy(first), abs=1e-9)


@given(PAIRS)
def test_values_are_shares_and_do_not_depend_on_names(pair: tuple[np.ndarray, np.ndarray]) -> None:
    labels, reference = pair
    renamed = 100 - 3 * labels
    for measure in (purity, cluster_purity, pnmi, normalized_mutual_information):
        value = measure(labels, reference)
        assert -1e-9 <= value <= 1 + 1e-9
        assert measure(renamed, reference) == pytest.approx(value)


@given(PAIRS)
def test_purity_is_the_accuracy_of_the_best_guess_by_label(pair: tuple[np.ndarray, np.ndarray]) -> None:
    labels, reference = pair
    hits = sum(max(np.sum(reference[labels == label] == c) for c in set(reference)) for label in set(labels))
    assert purity(labels, reference) == pytest.approx(hits / len(labels))


def test_a_finer_labelling_tells_all_of_the_reference_and_a_constant_one_nothing() -> None:
    reference = np.repeat([0, 1, 2], 20)
    finer = np.arange(60) // 10
    assert pnmi(finer, reference) == pytest.approx(1)
    assert purity(finer, reference) == 1
    assert cluster_purity(finer, reference) == pytest.approx(0.5)
    assert pnmi(np.zeros(60, dtype=int), reference) == 0
    assert pnmi(finer, np.zeros(60, dtype=int)) == 0


def test_many_codes_without_meaning_are_seen_by_shuffling() -> None:
    """PNMI alone is fooled: 200 codes on 400 steps seem to tell a lot."""
    random = np.random.default_rng(0)
    reference, labels = random.integers(0, 5, 400), random.integers(0, 200, 400)
    result = worth(labels, reference)
    assert result["pnmi"] > 0.4
    assert abs(result["pnmi"] - result["pnmi_of_shuffled_labels"]) < 0.05
    meaningful = worth(reference, reference)
    assert meaningful["pnmi"] == pytest.approx(1)
    assert meaningful["pnmi_of_shuffled_labels"] < 0.1


def test_steps_without_a_reference_class_do_not_count() -> None:
    labels, reference = np.array([0, 1, 0, 1, 5, 5]), np.array([0, 1, 0, 1, -1, -1])
    assert worth(labels, reference)["purity"] == 1
    assert worth(labels, reference) == worth(labels[:4], reference[:4])


def test_churn_is_the_share_of_changed_labels() -> None:
    assert churn(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 0])) == 0.5
    assert churn(np.array([1, 2]), np.array([1, 2])) == 0


def test_pairs_are_counted_at_their_place() -> None:
    table = contingency(np.array([7, 7, 9]), np.array([0, 3, 3]))
    assert table.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("first", "second"), [(np.array([]), np.array([])), (np.array([1]), np.array([1, 2])), (np.eye(2), np.eye(2))]
)
def test_sequences_that_do_not_belong_together_are_refused(first: np.ndarray, second: np.ndarray) -> None:
    with pytest.raises(ValueError, match="equally long"):
        contingency(first, second)


def test_labels_outside_of_the_codebook_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 3, found 1 to 4"):
        code_use(np.array([1, 4]), 4)
    with pytest.raises(ValueError, match="no labels"):
        code_use(np.array([], dtype=int), 4)
