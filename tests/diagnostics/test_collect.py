"""One pass gives what the model gives, step by step and in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from espnet2_birq.diagnostics.collect import all_layers, collect, enhanced_labels
from espnet2_birq.diagnostics.layers import cluster_labels, layer_statistics
from espnet2_birq.diagnostics.utterances import Utterance, batches, padded

SETTINGS = [
    {},
    {"quantizer_conf": {"num_codes": 32, "num_codebooks": 3}},
    {"label_source_conf": {"normalization": "utterance", "codebook": "separate", "head": "separate", "num_codes": 16}},
    {"preencoder": "stacking", "encoder_conf": {"input_layer": "linear"}},
]


@pytest.mark.parametrize("overrides", SETTINGS)
def test_labels_are_those_of_each_utterance_alone(
    overrides: dict[str, Any], build_tiny: Callable[..., Any], speech: list[Utterance]
) -> None:
    model = build_tiny(**overrides)
    together = collect(model, speech, most_samples=60000, most_sampled_steps=100)
    assert {row.name for row in together.utterances} == {utterance.name for utterance in speech}
    alone = {utterance.name: collect(model, [utterance], 1, 100).utterances[0] for utterance in speech}
    others = enhanced_labels(model, speech, most_samples=10**6)
    for row in together.utterances:
        assert np.array_equal(row.anchoring, alone[row.name].anchoring)
        assert np.array_equal(row.enhanced, alone[row.name].enhanced)
        assert np.array_equal(row.enhanced, others[row.name])


def test_sampled_vectors_belong_to_their_steps(build_tiny: Callable[..., Any], speech: list[Utterance]) -> None:
    """Layer 0 is what the quantizer labels, so its labels must be those at the sampled places."""
    model = build_tiny()
    result = collect(model, speech, most_samples=40000, most_sampled_steps=50)
    assert 40 <= len(result.sampled) <= 60
    assert len(set(result.sampled.tolist())) == len(result.sampled)
    labels = model.loss.quantizer(result.layers["0"]).numpy()
    assert np.array_equal(labels, result.labels("anchoring")[result.sampled])
    assert list(result.layers) == ["0", "1", "2", "3", "output"]


def test_all_layers_are_those_that_labels_are_made_from(
    build_tiny: Callable[..., Any], speech: list[Utterance]
) -> None:
    model = build_tiny(label_source_conf={"layer": 2}).eval()
    with torch.no_grad():
        features, lengths = model.features(*padded(speech))
        layers = all_layers(model, features, lengths)
        assert torch.equal(layers["2"], model.hidden(features, lengths))
        assert torch.equal(layers["output"], model.encoder(features, lengths)[0])
    assert not any(layer._forward_hooks for layer in model.encoder.encoders)


def test_predictions_are_compared_at_masked_steps_only(build_tiny: Callable[..., Any], speech: list[Utterance]) -> None:
    """A head that always predicts one code is right as often as that code is the label."""
    model = build_tiny()
    with torch.no_grad():
        model.loss.head.weight.zero_()
        model.loss.head.bias.zero_()
        model.loss.head.bias[7] = 1.0
    result = collect(model, speech, 10**6, 100)
    for kind in ("anchoring", "enhanced"):
        assert np.array_equal(result.hits[kind], result.masked_labels[kind] == 7)
        assert 0 < len(result.hits[kind]) < len(result.labels(kind))


def test_best_rq_has_no_enhanced_labels(build_tiny: Callable[..., Any], speech: list[Utterance]) -> None:
    result = collect(build_tiny(penalty_conf={"w1": 0.0, "w2": 1.0}), speech, 10**6, 100)
    assert result.labels("enhanced") is None
    assert result.soft == {}
    assert list(result.hits) == ["anchoring"]


def test_the_same_model_gives_the_same_numbers_and_is_left_as_it_was(
    build_tiny: Callable[..., Any], speech: list[Utterance]
) -> None:
    model = build_tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first, second = (collect(model, speech, 50000, 80) for _ in range(2))
    assert first.soft == second.soft
    assert np.array_equal(first.hits["anchoring"], second.hits["anchoring"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_batches_are_of_similar_length_and_hold_every_utterance(speech: list[Utterance]) -> None:
    made = list(batches(speech, 2 * max(len(utterance.samples) for utterance in speech)))
    assert sorted(utterance.name for batch in made for utterance in batch) == [utterance.name for utterance in speech]
    assert all(len(batch) <= 2 or len(batch[0].samples) * len(batch) <= 50000 for batch in made)
    assert len(list(batches(speech, 1))) == len(speech)


def test_clusters_of_a_layer_that_separates_the_classes_tell_all_of_them() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(600) % 6
    separated = torch.nn.functional.one_hot(classes, 6) + 0.01 * torch.randn(600, 6, generator=generator)
    noise = torch.randn(600, 6, generator=generator)
    classes[:20] = -1
    good, bad = layer_statistics({"good": separated, "bad": noise}, classes.numpy())
    assert good["pnmi"] > 0.95
    assert bad["pnmi"] - bad["pnmi_of_shuffled_labels"] < 0.1
    assert good["effective_rank"] < 6.01
    assert "pnmi" not in layer_statistics({"good": separated}, None)[0]


def test_equal_vectors_fall_into_one_cluster() -> None:
    assert len(set(cluster_labels(torch.ones(50, 4)).tolist())) == 1
