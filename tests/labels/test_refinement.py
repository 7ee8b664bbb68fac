"""Iterative codebook refinement against one round of k-means written out."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from espnet2_birq.labels import CodebookRefinement, RandomProjectionQuantizer

EVERY = {"every": 2}


def quantizer(distance: str = "raw", **refinement: int) -> RandomProjectionQuantizer:
    return RandomProjectionQuantizer(
        6, code_dim=3, num_codes=9, num_codebooks=2, distance=distance, refinement=refinement or EVERY
    )


def train(labels: RandomProjectionQuantizer, features: list[torch.Tensor], first: int = 0) -> None:
    for step, batch in enumerate(features, first):
        labels.advance(step)
        labels.observe(batch, labels(batch), step)


@pytest.mark.parametrize("distance", ["raw", "l2"])
def test_a_code_becomes_the_mean_of_what_was_assigned_to_it(distance: str) -> None:
    moving = quantizer(distance)
    before, batches = moving.codebook.clone(), [torch.randn(40, 6), torch.randn(30, 6)]
    features = torch.cat(batches)
    labels, encoded = moving(features), moving.encode(features.double())
    train(moving, batches)
    assert torch.equal(moving.codebook, before)
    moving.advance(2)
    for g in range(2):
        for n in range(9):
            mine = [encoded[g, t] for t in range(70) if int(labels[t, g]) == n]
            expected = before[g, n].double()
            if mine:
                expected = sum(mine) / len(mine)
                expected = expected / expected.norm() if distance == "l2" else expected
            assert torch.allclose(moving.codebook[g, n].double(), expected, atol=1e-5)


def test_codes_come_closer_to_the_features_with_every_move() -> None:
    moving, features = quantizer(every=1), torch.randn(500, 6)

    def error() -> float:
        encoded, labels = moving.encode(features), moving(features)
        return sum(float((encoded[g] - moving.codebook[g][labels[:, g]]).square().sum()) for g in range(2))

    errors = []
    for step in range(6):
        moving.advance(step)
        errors.append(error())
        moving.observe(features, moving(features), step)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.9 * errors[0]


@pytest.mark.parametrize(
    ("conf", "collecting", "moving_at"),
    [
        ({"every": 3}, set(range(12)), [3, 6, 9]),
        ({"every": 3, "start": 2}, set(range(2, 12)), [5, 8, 11]),
        ({"every": 4, "window": 1}, {3, 7, 11}, [4, 8]),
        ({"every": 3, "start": 1, "stop": 8}, set(range(1, 7)), [4, 7]),
    ],
)
def test_it_collects_and_moves_when_told(conf: dict, collecting: set[int], moving_at: list[int]) -> None:
    refinement, codebook = CodebookRefinement((1, 4, 2), **conf), torch.zeros(1, 4, 2)
    moved = []
    for step in range(12):
        for _ in range(2):  # two batches accumulated to one optimizer step
            before = codebook.clone()
            refinement.apply(step, codebook, unit_length=False)
            moved += [] if torch.equal(before, codebook) else [step]
            if refinement.collects(step):
                refinement.observe(torch.full((1, 5, 2), step + 1.0), torch.zeros(5, 1, dtype=torch.int64))
        assert refinement.collects(step) == (step in collecting)
    assert moved == moving_at


def test_a_resumed_run_moves_as_one_that_never_stopped() -> None:
    batches = [torch.randn(20, 6) for _ in range(7)]
    whole, first, second = quantizer(every=3), quantizer(every=3), quantizer(every=3)
    train(whole, batches)
    train(first, batches[:4])
    second.load_state_dict(first.state_dict())
    train(second, batches[4:], first=4)
    assert second.fingerprint() == whole.fingerprint() != quantizer().fingerprint()


def test_without_refinement_nothing_moves() -> None:
    frozen = RandomProjectionQuantizer(6, code_dim=3, num_codes=9)
    before = frozen.fingerprint()
    train(frozen, [torch.randn(20, 6)] * 5)
    assert frozen.fingerprint() == before
    assert set(frozen.state_dict()) == {"projection", "codebook"}


TWO_RANKS = """
import sys, torch
from espnet2_birq.labels import RandomProjectionQuantizer
rank, store = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
torch.manual_seed(rank)  # the global state differs, the quantizer must not
quantizer = RandomProjectionQuantizer(6, code_dim=3, num_codes=9, num_codebooks=2, refinement={"every": 2})
drawn = quantizer.fingerprint()
generator = torch.Generator().manual_seed(3)
for step in range(3):
    quantizer.advance(step)
    features = torch.randn(40, 6, generator=generator)[20 * rank : 20 * rank + 20]
    quantizer.observe(features, quantizer(features), step)
print(drawn, quantizer.fingerprint())
"""


def test_every_rank_has_the_same_codes_before_and_behind_a_move(tmp_path: object) -> None:
    command = [sys.executable, "-c", TWO_RANKS]
    ranks = [
        subprocess.Popen([*command, str(rank), f"{tmp_path}/store"], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    printed = [rank.communicate(timeout=300)[0].split() for rank in ranks]
    alone, generator = quantizer(), torch.Generator().manual_seed(3)
    drawn = alone.fingerprint()
    train(alone, [torch.randn(40, 6, generator=generator) for _ in range(3)])
    assert printed[0] == printed[1]
    assert printed[0][0] == drawn
    assert printed[0][1] != drawn


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"every": 0}, "every must be at least 1"),
        ({"every": 5, "start": 3, "stop": 7}, "no move fits between start 3 and stop 7"),
        ({"every": 5, "window": 6}, "window must be 0 to every"),
    ],
)
def test_numbers_that_leave_nothing_to_do_are_named(conf: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantizer(**conf)
