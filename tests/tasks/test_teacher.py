"""A frozen encoder as the anchor: offline relabelling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from espnet2_birq.errors import BadInputError
from espnet2_birq.labels import normalize_hidden

Build = Callable[..., Any]
SPEECH = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0)), torch.tensor([16000, 11000])


@pytest.fixture
def experiment(tmp_path: Path, build_tiny: Build, tiny_config: dict) -> tuple[Any, str]:
    """A trained teacher and its file, as stage 7 leaves them; the files of its own labels are gone."""
    torch.manual_seed(7)
    model = build_tiny(penalty_conf={"w1": 0.0, "w2": 1.0})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    tiny_config["quantizer"], tiny_config["quantizer_conf"] = "pca_projection", {"statistics": "gone.npz"}
    tiny_config["label_source_conf"] = {}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"input_size": None, "normalize_conf": {}, **tiny_config}))
    torch.save(model.state_dict(), tmp_path / "valid.loss.ave.pth")
    return model.eval(), str(tmp_path / "valid.loss.ave.pth")


def test_labels_are_the_codes_nearest_to_the_teacher_s_layer(experiment: tuple[Any, str], build_tiny: Build) -> None:
    teacher, model_file = experiment
    student = build_tiny(
        anchor="teacher", anchor_conf={"model_file": model_file, "layer": 2}, penalty_conf={"w1": 0.0, "w2": 1.0}
    )
    features, lengths = student.features(*SPEECH)
    (_, layers), *_ = teacher.encoder(features, lengths, return_all_hs=True)
    num_steps = layers[1].size(1)
    for training in (True, False):
        student.train(training)
        vectors = student.anchor_vectors(features, lengths, num_steps)
        assert torch.allclose(vectors, normalize_hidden(layers[1], "layer"), atol=1e-5)
    loss, _, _ = student(*SPEECH)
    loss.backward()
    assert torch.isfinite(loss)


def test_the_teacher_is_neither_trained_nor_saved(experiment: tuple[Any, str], build_tiny: Build) -> None:
    _, model_file = experiment
    student = build_tiny(anchor="teacher", anchor_conf={"model_file": model_file})
    plain = build_tiny(quantizer_conf={})
    assert {name.split(".")[0] for name in student.state_dict()} == {name.split(".")[0] for name in plain.state_dict()}
    assert len(list(student.parameters())) == len(list(plain.parameters()))
    assert student.double().anchor._teacher[1].embed.out.weight.dtype == torch.float64


def test_a_teacher_of_other_features_or_steps_is_refused(experiment: tuple[Any, str], build_tiny: Build) -> None:
    _, model_file = experiment
    teacher = {"anchor": "teacher", "anchor_conf": {"model_file": model_file}}
    with pytest.raises(BadInputError, match="was trained with normalize utterance_mvn, not None"):
        build_tiny(**teacher, normalize=None)
    with pytest.raises(BadInputError, match="the teacher .* makes a step of 4 frames .*, the model in training of 8"):
        build_tiny(**teacher, encoder_conf={"input_layer": "conv2d8"})
    with pytest.raises(BadInputError, match="layer must be 1 to 3"):
        build_tiny(anchor="teacher", anchor_conf={"model_file": model_file, "layer": 4})


def test_a_missing_or_damaged_teacher_is_named(experiment: tuple[Any, str], build_tiny: Build) -> None:
    _, model_file = experiment
    with pytest.raises(BadInputError, match="no such file: .*nowhere"):
        build_tiny(anchor="teacher", anchor_conf={"model_file": str(Path(model_file).parent / "nowhere.pth")})
    Path(model_file).write_bytes(b"half a file")
    with pytest.raises(BadInputError, match="the teacher .*valid.loss.ave.pth cannot be read: "):
        build_tiny(anchor="teacher", anchor_conf={"model_file": model_file})
    torch.save({"encoder.embed.out.weight": torch.zeros(1)}, model_file)
    with pytest.raises(BadInputError, match="has no encoder.* of shape"):
        build_tiny(anchor="teacher", anchor_conf={"model_file": model_file})
