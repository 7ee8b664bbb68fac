"""Training curves of an experiment, from TensorBoard's events (by iteration) and the checkpoint (by epoch)."""

from __future__ import annotations

from pathlib import Path

import torch

from espnet2_birq.errors import BadInputError

Curve = tuple[list[float], list[float]]


def training_curves(experiment: Path) -> dict[str, dict[str, Curve]]:
    """Curves by phase (``train``, ``valid``) and statistic: iterations and values.

    Training is read from TensorBoard's events where there are any, which show single iterations; otherwise, and for
    validation, each epoch is one point at its last iteration. Empty without a checkpoint.

    Raises:
        BadInputError: if the checkpoint is damaged.
    """
    curves = _by_epoch(experiment / "checkpoint.pth")
    by_iteration = _by_iteration(experiment / "tensorboard" / "train")
    if by_iteration:
        curves["train"] = by_iteration
    return curves


def _by_epoch(checkpoint: Path) -> dict[str, dict[str, Curve]]:
    if not checkpoint.is_file():
        return {}
    try:
        epochs = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["reporter"]["stats"]
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise BadInputError(f"{checkpoint}: cannot be read as a checkpoint ({error})".splitlines()[0]) from error
    curves: dict[str, dict[str, Curve]] = {}
    for phases in epochs.values():
        iteration = float(phases["train"]["total_count"])
        for phase in ("train", "valid"):
            for name, value in phases.get(phase, {}).items():
                if isinstance(value, int | float) and name != "total_count":
                    steps, values = curves.setdefault(phase, {}).setdefault(name, ([], []))
                    steps.append(iteration)
                    values.append(float(value))
    return curves


def _by_iteration(folder: Path) -> dict[str, Curve]:
    if not any(folder.glob("events.*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={SCALARS: 2000})
    events.Reload()
    curves = {}
    for name in events.Tags()["scalars"]:
        points = events.Scalars(name)
        if len(points) > 1:
            curves[name] = ([float(point.step) for point in points], [point.value for point in points])
    return curves
