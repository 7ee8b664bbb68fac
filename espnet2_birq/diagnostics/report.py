"""The whole diagnosis of one pretrained model, as a dictionary for ``diagnostics.json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from espnet2_birq.diagnostics.collect import Collected, collect, enhanced_labels
from espnet2_birq.diagnostics.gradients import gradient_shares
from espnet2_birq.diagnostics.label_statistics import (
    churn,
    code_use,
    entropy,
    normalized_mutual_information,
    worth,
)
from espnet2_birq.diagnostics.layers import layer_statistics
from espnet2_birq.diagnostics.pretrained import Pretrained
from espnet2_birq.diagnostics.probe import ctc_probe, output_vectors
from espnet2_birq.diagnostics.references import Reference, StepTimes
from espnet2_birq.diagnostics.utterances import Utterance, batches

GRADIENT_BATCHES = 4
GRADIENT_SECONDS = 20
SAMPLED_STEPS = 8000

MakeReference = Callable[[list[Utterance], StepTimes, dict[str, int]], Reference | None]


def diagnose(
    pretrained: Pretrained,
    utterances: list[Utterance],
    make_reference: MakeReference,
    other: Pretrained | None = None,
    batch_seconds: float = 60.0,
    probe: bool = False,
) -> tuple[dict[str, Any], Collected, Reference | None]:
    """Everything about one model on some utterances.

    Args:
        pretrained: the model.
        utterances: what to look at.
        make_reference: makes reference classes of the steps, or None.
        other: another checkpoint of the same training, to see how labels change.
        batch_seconds: audio in one batch, padding included.
        probe: whether to train a linear CTC probe.

    Returns:
        The report, what it was made from, and the reference.
    """
    model, most_samples = pretrained.model, round(batch_seconds * pretrained.sampling_rate)
    collected = collect(model, utterances, most_samples, SAMPLED_STEPS)
    num_steps = {row.name: len(row.anchoring) for row in collected.utterances}
    reference = make_reference(utterances, pretrained.times, num_steps)
    classes = None
    if reference is not None:
        classes = np.concatenate([reference.classes[row.name] for row in collected.utterances])
        if not (classes[collected.sampled] >= 0).any():
            reference, classes = None, None
    small = list(batches(utterances, GRADIENT_SECONDS * pretrained.sampling_rate))
    spread = [small[index * len(small) // GRADIENT_BATCHES] for index in range(GRADIENT_BATCHES)]
    report: dict[str, Any] = {
        "model_file": pretrained.name,
        "utterances": len(utterances),
        "seconds": sum(len(utterance.samples) for utterance in utterances) / pretrained.sampling_rate,
        "steps": sum(num_steps.values()),
        "milliseconds_per_step": 1000 * pretrained.times.hop_seconds * model.subsampling.factor,
        "masked_steps": len(collected.hits["anchoring"]),
        "reference": None if reference is None else _describe(reference, classes),
        "anchoring": label_report(collected, "anchoring", model.loss.quantizer.num_codes, classes),
        "enhanced": None,
        "churn": None,
        "gradients": asdict(gradient_shares(model, spread if len(small) > GRADIENT_BATCHES else small)),
        "layers": layer_statistics(collected.layers, None if classes is None else classes[collected.sampled]),
        "probe": None,
    }
    if model.loss.enhanced is not None:
        anchoring, enhanced = collected.labels("anchoring"), collected.labels("enhanced")
        report["enhanced"] = {
            "layer": model.label_layer,
            **label_report(collected, "enhanced", model.loss.enhanced.num_codes, classes),
            "label_perplexity": collected.soft["perplexity"],
            "agreement_with_nearest_code": collected.soft["agreement"],
            "nmi_with_anchoring": _over_codebooks(normalized_mutual_information, anchoring, enhanced),
        }
    if probe:
        texts = {utterance.name: utterance.text for utterance in utterances if utterance.text}
        result = ctc_probe(output_vectors(model, utterances, most_samples), texts)
        report["probe"] = None if result is None else asdict(result)
    if other is not None:
        report["churn"] = churn_report(other, utterances, collected, most_samples)
    return report, collected, reference


def label_report(collected: Collected, kind: str, num_codes: int, classes: np.ndarray | None) -> dict[str, Any]:
    """Codebook use, masked accuracy and worth of one kind of label; means over codebooks."""
    labels, hits, masked = collected.labels(kind), collected.hits[kind], collected.masked_labels[kind]
    groups = range(labels.shape[1])
    uses = [asdict(code_use(labels[:, group], num_codes)) for group in groups]
    report: dict[str, Any] = {"codebooks": len(groups)}
    report |= {name: float(np.mean([use[name] for use in uses])) for name in uses[0]} | {"codes": num_codes}
    report["masked_accuracy"] = float(hits.mean())
    report["masked_majority_rate"] = float(
        np.mean([code_use(masked[:, group], num_codes).majority_rate for group in groups])
    )
    if classes is not None:
        values = [worth(labels[:, group], classes) for group in groups]
        report |= {name: float(np.mean([value[name] for value in values])) for name in values[0]}
    return report


def churn_report(
    other: Pretrained, utterances: list[Utterance], collected: Collected, most_samples: int
) -> dict[str, Any] | None:
    """How many labels another checkpoint of the same training would give differently.

    None for BEST-RQ, whose labels do not depend on the encoder.
    """
    enhanced = collected.labels("enhanced")
    if enhanced is None:
        return None
    labels = enhanced_labels(other.model, utterances, most_samples)
    theirs = np.concatenate([labels[row.name] for row in collected.utterances])
    return {
        "other_model": other.name,
        "enhanced": _over_codebooks(churn, enhanced, theirs),
        "enhanced_nmi": _over_codebooks(normalized_mutual_information, enhanced, theirs),
    }


def _over_codebooks(measure: Callable[[np.ndarray, np.ndarray], float], first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean([measure(first[:, group], second[:, group]) for group in range(first.shape[1])]))


def _describe(reference: Reference, classes: np.ndarray) -> dict[str, Any]:
    known = classes[classes >= 0]
    return {
        "kind": reference.kind,
        "classes": len(np.unique(known)),
        "steps": len(known),
        "entropy": entropy(known),
        "majority_rate": float(np.unique(known, return_counts=True)[1].max() / len(known)),
    }
