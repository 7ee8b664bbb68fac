"""Figures are whole PNG files that show something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import image, pyplot

from espnet2_birq.diagnostics import figures

ROW = {"width": 16, "effective_rank": 4.0, "pnmi": 0.3, "pnmi_of_shuffled_labels": 0.1}
LAYERS = [{"layer": name, **ROW} for name in ("0", "1", "output")]


def drawn() -> dict[str, pyplot.Figure]:
    random = np.random.default_rng(0)
    codes = random.integers(0, 30, 50)
    return {
        "utterance": figures.labels_over_spectrogram(
            random.random((200, 80)),
            np.arange(200) * 0.01,
            np.arange(50) * 0.04,
            {"anchoring": codes, "enhanced": codes[::-1]},
            np.where(np.arange(50) > 5, np.arange(50) // 10, -1),
            tuple("abcde"),
            "utterance: text",
        ),
        "one step": figures.labels_over_spectrogram(
            random.random((5, 80)), np.arange(5) * 0.01, np.array([0.02]), {"anchoring": codes[:1]}, None, (), "short"
        ),
        "usage": figures.code_usage({"anchoring": (codes, 64), "enhanced": (codes // 10, 32)}),
        "ranks": figures.effective_ranks(LAYERS),
        "pnmi": figures.layer_pnmi(LAYERS, {"anchoring": ROW, "enhanced": ROW}, "uniform character alignment"),
        "curves": figures.training_figure(
            {"train": {"loss_anchoring": ([1.0, 2.0], [3.0, 2.0])}, "valid": {"loss_anchoring": ([2.0], [2.5])}}
        ),
    }


def test_every_figure_is_a_png_with_content(tmp_path: Path) -> None:
    for name, figure in drawn().items():
        figures.save_figure(figure, tmp_path / f"{name}.png")
        pixels = image.imread(tmp_path / f"{name}.png")
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.02
    assert not list(tmp_path.glob(".*"))
    assert not pyplot.get_fignums()


def test_a_figure_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "usage.png").mkdir()
    figure = figures.effective_ranks(LAYERS)
    with pytest.raises(OSError, match=r"usage\.png"):
        figures.save_figure(figure, tmp_path / "usage.png")
    assert [path.name for path in tmp_path.iterdir()] == ["usage.png"]


def test_the_same_label_has_one_colour_and_each_utterance_step_its_place() -> None:
    figure = drawn()["utterance"]
    anchoring, enhanced = figure.axes[1], figure.axes[2]
    colours = [bar.get_facecolor() for bar in anchoring.patches]
    assert len(colours) == 50
    assert colours[::-1] == [bar.get_facecolor() for bar in enhanced.patches]
    assert anchoring.patches[10].get_x() == pytest.approx(10 * 0.04 - 0.02)
    pyplot.close("all")
