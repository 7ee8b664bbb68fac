"""Eq 2: the anchoring label is the nearest code of the projected features."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_birq.labels import RandomProjectionQuantizer
from espnet2_birq.labels.selection import CHUNK_STEPS

SPEECHBRAIN_PARITY = """
import torch
from speechbrain.nnet.quantisers import RandomProjectionQuantizer as Theirs
from espnet2_birq.labels import RandomProjectionQuantizer as Ours
theirs, ours = Theirs(320, 16, 1024), Ours(320, 16, 1024, distance="l2")
ours.projection.copy_(theirs.P[None])
ours.codebook.copy_(theirs.CB[None])
features = torch.randn(2, 100, 320, generator=torch.Generator().manual_seed(0))
assert torch.equal(ours(features)[..., 0], theirs(features))
"""


def label_by_loops(features: list[float], projection: torch.Tensor, codebook: torch.Tensor, distance: str) -> int:
    """Eq 2 as written, one scalar at a time, in Python floats (float64)."""
    code_dim = projection.size(1)
    projected = [sum(features[i] * float(projection[i, c]) for i in range(len(features))) for c in range(code_dim)]
    codes = [[float(value) for value in code] for code in codebook]
    if distance == "l2":
        length = math.sqrt(sum(value * value for value in projected))
        projected = [value / length for value in projected]
    distances = [sum((projected[c] - code[c]) ** 2 for c in range(code_dim)) for code in codes]
    return distances.index(min(distances))


@given(
    steps=st.integers(1, 4),
    input_dim=st.integers(1, 7),
    code_dim=st.integers(1, 5),
    num_codes=st.integers(1, 9),
    num_codebooks=st.integers(1, 3),
    distance=st.sampled_from(["raw", "l2"]),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=40, deadline=None)
def test_labels_equal_a_loop_over_equation_2(
    steps: int, input_dim: int, code_dim: int, num_codes: int, num_codebooks: int, distance: str, seed: int
) -> None:
    quantizer = RandomProjectionQuantizer(input_dim, code_dim, num_codes, num_codebooks, distance, seed)
    features = torch.randn(steps, input_dim, generator=torch.Generator().manual_seed(seed))
    labels = quantizer(features)
    assert labels.shape == (steps, num_codebooks)
    assert labels.dtype == torch.int64
    for t in range(steps):
        for g in range(num_codebooks):
            expected = label_by_loops(features[t].tolist(), quantizer.projection[g], quantizer.codebook[g], distance)
            assert int(labels[t, g]) == expected


def test_raw_labels_equal_cdist() -> None:
    quantizer = RandomProjectionQuantizer(160, num_codes=512, num_codebooks=2)
    features = torch.randn(3, 700, 160)
    for g in range(2):
        projected = features.double() @ quantizer.projection[g].double()
        expected = torch.cdist(projected, quantizer.codebook[g].double()).argmin(-1)
        assert torch.equal(quantizer(features)[..., g], expected)


def test_l2_labels_equal_speechbrain_on_the_same_matrices() -> None:
    """In a process of its own: SpeechBrain's lazy modules break what walks over ``sys.modules``, as Hypothesis does."""
    if importlib.util.find_spec("speechbrain") is None:
        pytest.skip("speechbrain is not installed; it is part of the test extra")
    subprocess.run([sys.executable, "-c", SPEECHBRAIN_PARITY], check=True)


def test_codes_and_projected_features_have_unit_length_under_l2_only() -> None:
    features = 10 * torch.randn(5, 12)
    unit, raw = RandomProjectionQuantizer(12, distance="l2"), RandomProjectionQuantizer(12, distance="raw")
    assert torch.allclose(unit.codebook.norm(dim=-1), torch.ones(1, 8192))
    assert torch.allclose(unit.project(features, unit.projection).norm(dim=-1), torch.ones(1, 5))
    assert raw.codebook.norm(dim=-1).std() > 0.1


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = RandomProjectionQuantizer(8, num_codes=16, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert RandomProjectionQuantizer(8, num_codes=16, seed=5).fingerprint() == first.fingerprint()
    assert RandomProjectionQuantizer(8, num_codes=16, seed=6).fingerprint() != first.fingerprint()


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    program = "from espnet2_birq.labels import RandomProjectionQuantizer as Q; print(Q(8, num_codes=16).fingerprint())"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == RandomProjectionQuantizer(8, num_codes=16).fingerprint()


def test_nothing_is_trained_and_everything_is_saved() -> None:
    quantizer = RandomProjectionQuantizer(8, num_codes=16, num_codebooks=2)
    assert not list(quantizer.parameters())
    assert set(quantizer.state_dict()) == {"projection", "codebook"}
    other = RandomProjectionQuantizer(8, num_codes=16, num_codebooks=2, seed=1)
    other.load_state_dict(quantizer.state_dict())
    assert other.fingerprint() == quantizer.fingerprint()


@pytest.mark.parametrize("distance", ["raw", "l2"])
def test_a_label_does_not_depend_on_the_steps_beside_it(distance: str) -> None:
    """Bit-equal although a matrix product rounds differently with the number of rows."""
    quantizer = RandomProjectionQuantizer(37, code_dim=5, num_codes=1024, distance=distance)
    features = torch.randn(2 * CHUNK_STEPS + 3, 37)
    together = quantizer(features)
    for start, stop in [(0, 1), (5, 7), (11, 14), (CHUNK_STEPS - 1, CHUNK_STEPS + 1), (3, 2 * CHUNK_STEPS)]:
        assert torch.equal(quantizer(features[start:stop]), together[start:stop])


def test_a_label_between_two_codes_does_not_depend_on_the_steps_beside_it() -> None:
    """Every feature lies half-way between two codes, up to the rounding of float32."""
    quantizer = RandomProjectionQuantizer(37, code_dim=5, num_codes=400)
    features = torch.randn(200, 37)
    middle, arm = quantizer.encode(features.double())[0], 0.01 * torch.randn(200, 5)
    quantizer.codebook[0, 0::2] = (middle + arm).float()
    quantizer.codebook[0, 1::2] = (middle - arm).float()
    together = quantizer(features)
    assert torch.equal(together[:, 0] // 2, torch.arange(200))
    for t in range(200):
        assert torch.equal(quantizer(features[t : t + 1]), together[t : t + 1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_labels_do_not_depend_on_autocast(dtype: torch.dtype) -> None:
    quantizer = RandomProjectionQuantizer(80, num_codes=2048)
    features = torch.randn(200, 80)
    with torch.autocast("cpu", dtype=dtype):
        labels = quantizer(features)
    assert torch.equal(labels, quantizer(features))


def test_no_steps_give_no_labels() -> None:
    assert RandomProjectionQuantizer(8, num_codes=16, num_codebooks=2)(torch.zeros(3, 0, 8)).shape == (3, 0, 2)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"code_dim": -1}, "code_dim must be at least 1, got -1"),
        ({"distance": "cosine"}, "distance must be one of .*, got 'cosine'"),
    ],
)
def test_a_wrong_size_or_distance_is_named(conf: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomProjectionQuantizer(8, **conf)
