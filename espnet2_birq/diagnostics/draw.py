"""All figures of a diagnosis, written to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from espnet2_birq.diagnostics import figures
from espnet2_birq.diagnostics.collect import Collected
from espnet2_birq.diagnostics.curves import training_curves
from espnet2_birq.diagnostics.pretrained import Pretrained
from espnet2_birq.diagnostics.references import Reference
from espnet2_birq.diagnostics.utterances import Utterance


def draw_figures(
    out_dir: Path,
    ssl_exp: Path,
    pretrained: Pretrained,
    utterances: list[Utterance],
    report: dict[str, Any],
    collected: Collected,
    reference: Reference | None,
) -> list[str]:
    """Write every figure that the report has something for; return the files' names.

    Of several codebooks, figures show the first.
    """
    loss = pretrained.model.loss
    num_codes = {"anchoring": loss.quantizer.num_codes}
    if loss.enhanced is not None:
        num_codes["enhanced"] = loss.enhanced.num_codes
    usage = {kind: (collected.labels(kind)[:, 0], number) for kind, number in num_codes.items()}
    drawn: dict[str, Figure] = {
        "labels_over_spectrogram.png": utterance_figure(pretrained, utterances, collected, reference),
        "code_usage.png": figures.code_usage(usage),
        "effective_rank.png": figures.effective_ranks(report["layers"]),
    }
    if reference is not None:
        labels = {kind: report[kind] for kind in num_codes}
        drawn["layer_pnmi.png"] = figures.layer_pnmi(report["layers"], labels, reference.kind)
    curves = training_curves(ssl_exp)
    if curves:
        drawn["training_curves.png"] = figures.training_figure(curves)
    for name, figure in drawn.items():
        figures.save_figure(figure, out_dir / name)
    return list(drawn)


def utterance_figure(
    pretrained: Pretrained, utterances: list[Utterance], collected: Collected, reference: Reference | None
) -> Figure:
    """Labels of one utterance: of median length among those with a transcript, if there are any."""
    choice = [utterance for utterance in utterances if utterance.text] or utterances
    utterance = sorted(choice, key=lambda utterance: len(utterance.samples))[len(choice) // 2]
    labels = next(row for row in collected.utterances if row.name == utterance.name)
    with torch.no_grad():
        features_1FD, _ = pretrained.model.features(utterance.samples[None], torch.tensor([len(utterance.samples)]))
    shown = {"anchoring": labels.anchoring[:, 0]}
    if labels.enhanced is not None:
        shown["enhanced"] = labels.enhanced[:, 0]
    return figures.labels_over_spectrogram(
        features_1FD[0].numpy(),
        pretrained.times.frames(features_1FD.size(1)),
        pretrained.times(len(labels.anchoring)),
        shown,
        None if reference is None else reference.classes[utterance.name],
        () if reference is None else reference.names,
        utterance.name if utterance.text is None else f"{utterance.name}: {utterance.text[:100]}",
    )
