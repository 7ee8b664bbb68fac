"""Figures of a diagnosis, as PNG files that a person can read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from espnet2_birq.diagnostics.curves import Curve
from espnet2_birq.diagnostics.label_statistics import code_counts, entropy_of_counts
from espnet2_birq.diagnostics.references import UNKNOWN
from espnet2_birq.diagnostics.summary import above_chance

COLOURS = {"anchoring": "tab:blue", "enhanced": "tab:orange"}
DPI = 120
# An utterance's codes get colours far apart: steps of the golden ratio around the colour circle.
GOLDEN_RATIO = 0.618034


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG beside its place and rename it, so that a figure is whole or not there."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(temporary, format="png", dpi=DPI)
        os.replace(temporary, path)
    finally:
        pyplot.close(figure)
        temporary.unlink(missing_ok=True)


def labels_over_spectrogram(
    features_FD: np.ndarray,
    frame_times_F: np.ndarray,
    step_times_T: np.ndarray,
    labels: Mapping[str, np.ndarray],
    classes_T: np.ndarray | None,
    class_names: tuple[str, ...],
    title: str,
) -> Figure:
    """One utterance: its features, and below on the same time axis a colour for every label.

    Args:
        features_FD: log-mel features.
        frame_times_F: middle of each frame in seconds.
        step_times_T: middle of each step in seconds.
        labels: kind of label to codes (T,).
        classes_T: reference class of each step, or None.
        class_names: of the reference classes.
        title: of the figure.
    """
    rows = len(labels) + (classes_T is not None)
    figure, axes = pyplot.subplots(
        1 + rows, 1, figsize=(12, 3.5 + 0.6 * rows), sharex=True, height_ratios=[5] + [1] * rows, layout="constrained"
    )
    low, high = np.percentile(features_FD, [2, 99.5])
    half_frame = (frame_times_F[-1] - frame_times_F[0]) / max(1, len(frame_times_F) - 1) / 2
    extent = (frame_times_F[0] - half_frame, frame_times_F[-1] + half_frame, 0.0, features_FD.shape[1])
    axes[0].imshow(features_FD.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high)
    axes[0].set(ylabel="mel band", title=title)
    half = (step_times_T[1] - step_times_T[0]) / 2 if len(step_times_T) > 1 else half_frame
    edges = np.append(step_times_T - half, step_times_T[-1] + half)
    for axis, (kind, codes) in zip(axes[1:], labels.items(), strict=False):
        colours = pyplot.get_cmap("hsv")(np.unique(codes, return_inverse=True)[1] * GOLDEN_RATIO % 1.0)
        axis.bar(edges[:-1], 1.0, width=np.diff(edges), align="edge", color=colours, linewidth=0)
        axis.set(yticks=[], ylabel=kind, ylim=(0, 1))
        axis.set_ylabel(f"{kind}\n{len(np.unique(codes))} codes", rotation=0, ha="right", va="center")
    if classes_T is not None:
        _draw_classes(axes[-1], edges, classes_T, class_names)
    axes[-1].set(xlabel="seconds", xlim=extent[:2])
    return figure


def _draw_classes(axis: Axes, edges: np.ndarray, classes_T: np.ndarray, names: tuple[str, ...]) -> None:
    """Names of reference classes, each in the middle of its run of steps."""
    starts = np.flatnonzero(np.diff(classes_T, prepend=classes_T[0] - 1))
    for start, end in zip(starts, np.append(starts[1:], len(classes_T)), strict=True):
        if classes_T[start] != UNKNOWN:
            axis.text((edges[start] + edges[end]) / 2, 0.5, names[classes_T[start]], ha="center", va="center", size=7)
            axis.axvline(edges[start], color="lightgrey", linewidth=0.5)
    axis.set(yticks=[], ylim=(0, 1))
    axis.set_ylabel("reference", rotation=0, ha="right", va="center")


def code_usage(labels: Mapping[str, tuple[np.ndarray, int]]) -> Figure:
    """Share of every code by rank, for each kind of label: labels (S,) and number of codes.

    A flat line is a codebook in even use; the dashed line is what even use would be.
    """
    figure, axis = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for kind, (codes, num_codes) in labels.items():
        counts = np.sort(code_counts(codes, num_codes))[::-1]
        used = int(np.count_nonzero(counts))
        perplexity = float(np.exp(entropy_of_counts(counts)))
        text = f"{kind}: {used} of {num_codes} codes used, perplexity {perplexity:.1f}"
        axis.plot(np.arange(1, used + 1), counts[:used] / counts.sum(), ".-", color=COLOURS[kind], label=text)
        axis.axhline(1 / num_codes, color=COLOURS[kind], linestyle="--", linewidth=0.8)
    axis.set(xscale="log", yscale="log", xlabel="code, by how often it is used", ylabel="share of steps")
    axis.set_title("use of the codebook (dashed: even use)")
    axis.legend()
    return figure


def effective_ranks(layers: list[dict[str, Any]]) -> Figure:
    """Effective rank of every layer, against its width."""
    figure, axis = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    names = [row["layer"] for row in layers]
    axis.plot(names, [row["width"] for row in layers], ":", color="grey", label="width")
    axis.plot(names, [row["effective_rank"] for row in layers], "o-", label="effective rank (RankMe)")
    axis.set(xlabel="layer (0: what the quantizer labels)", yscale="log", title="dimensions in use")
    axis.legend()
    return figure


def layer_pnmi(layers: list[dict[str, Any]], labels: Mapping[str, dict[str, Any]], reference: str) -> Figure:
    """How much of the reference the clusters of every layer tell, and the two kinds of label (horizontal lines).

    Drawn above chance, so that many codes are no advantage by themselves.
    """
    figure, axis = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    names = [row["layer"] for row in layers]
    values = [above_chance(row) for row in layers]
    axis.plot(names, values, "o-", color="black", label="k-means clusters of the layer")
    for kind, row in labels.items():
        text = f"{kind} labels (PNMI {row['pnmi']:.3f}, shuffled {row['pnmi_of_shuffled_labels']:.3f})"
        axis.axhline(above_chance(row), color=COLOURS[kind], linestyle="--", label=text)
    axis.axhline(0, color="lightgrey", linewidth=0.8)
    axis.set(xlabel="layer (0: what the quantizer labels)", ylabel="PNMI above that of shuffled labels")
    axis.set_title(f"share of the reference that labels tell\n({reference})", fontsize=10)
    axis.legend(fontsize=8)
    return figure


CURVE_PANELS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "loss": (False, ("loss_anchoring", "loss_enhanced")),
    "masked accuracy": (False, ("acc_anchoring", "majority_anchoring", "acc_enhanced", "enhanced_agreement")),
    "perplexity": (True, ("anchoring_code_perplexity", "enhanced_code_perplexity", "enhanced_perplexity")),
    "gradient norm": (False, ("grad_norm",)),
}


def training_figure(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Loss, accuracy, perplexities and gradient norm over iterations; validation with markers."""
    figure, axes = pyplot.subplots(2, 2, figsize=(12, 8), layout="constrained")
    for axis, (title, (logarithmic, names)) in zip(axes.flat, CURVE_PANELS.items(), strict=True):
        for index, name in enumerate(names):
            for phase, style in (("train", "-"), ("valid", "o--")):
                if name in curves.get(phase, {}):
                    steps, values = curves[phase][name]
                    axis.plot(steps, values, style, color=f"C{index}", markersize=3, label=f"{name} ({phase})")
        axis.set(title=title, xlabel="iteration")
        if axis.lines:
            axis.legend(fontsize=7)
            if logarithmic:
                axis.set_yscale("log")
    return figure
