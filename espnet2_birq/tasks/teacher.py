"""A frozen, pretrained encoder as the source of the anchoring label: offline relabelling and HuBERT's later rounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from espnet2_birq.errors import BadInputError
from espnet2_birq.features import AnchorFeatures, Subsampling, lower_layers, resolve_layer
from espnet2_birq.labels import normalize_hidden

# What must be the same for teacher and student, which share the features.
INPUT_KEYS = ("input_size", "frontend", "frontend_conf", "normalize", "normalize_conf")
TEACHER_PARTS = ("preencoder.", "encoder.")
NORMALIZATIONS = ("layer", "none")


class TeacherLayer(AnchorFeatures):
    """Output of a layer of a model that this task has trained before, on the unmasked features of the student.

    The teacher is neither trained nor saved with the student: an experiment needs its files as long as it runs.

    Args:
        subsampling: of the student; the teacher's must be the same.
        feature_size: width of a feature frame.
        model_file: the teacher's parameters, e.g. ``exp/ssl_best_rq/valid.loss.ave.pth``.
        config_file: the teacher's configuration; by default ``config.yaml`` beside ``model_file``.
        layer: counted from 1, or below 1 a fraction of the teacher's depth.
        normalization: ``layer`` or ``none``, see `normalize_hidden`.

    Raises:
        BadInputError: if the teacher cannot be read or does not fit.
        ValueError: if there is no such layer or normalisation.
    """

    def __init__(
        self,
        subsampling: Subsampling,
        feature_size: int,
        model_file: str,
        config_file: str | None = None,
        layer: int | float = 0.7,
        normalization: str = "layer",
    ) -> None:
        super().__init__()
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}")
        self.normalization = normalization
        self.source = Path(model_file)
        config_path = Path(config_file) if config_file else self.source.parent / "config.yaml"
        model, self.config = _load(config_path, self.source)
        if model.subsampling != subsampling:
            raise BadInputError(
                f"anchor_conf: the teacher {model_file} makes a step of {model.subsampling.factor} frames "
                f"({model.subsampling.receptive_field} seen), the model in training of {subsampling.factor} "
                f"({subsampling.receptive_field} seen); their encoder steps must be the same"
            )
        k = resolve_layer(layer, len(model.encoder.encoders))
        # In a tuple, PyTorch does not see it: not in the parameters, not in the checkpoint, never in training mode.
        self._teacher = (model.preencoder, lower_layers(model.encoder, k))
        self.size = model.encoder.output_size()

    def require_same_input(self, args: argparse.Namespace) -> None:
        """Check that the teacher was trained on the features that the student sees.

        Raises:
            BadInputError: naming the first key that differs.
        """
        for key in INPUT_KEYS:
            theirs, ours = getattr(self.config, key), getattr(args, key)
            if theirs != ours:
                raise BadInputError(
                    f"anchor_conf: the teacher {self.source} was trained with {key} {theirs}, not {ours}"
                )

    @torch.no_grad()
    def forward(self, features_BFD: torch.Tensor, lengths_B: torch.Tensor, num_steps: int) -> torch.Tensor:
        """(B, F, D) -> (B, num_steps, width of the teacher)."""
        preencoder, encoder = self._teacher
        if preencoder is not None:
            features_BFD, lengths_B = preencoder(features_BFD, lengths_B)
        return normalize_hidden(encoder(features_BFD, lengths_B)[0], self.normalization)[:, :num_steps]

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> TeacherLayer:
        for part in self._teacher:
            if part is not None:
                part._apply(fn)
        return super()._apply(fn, recurse)


def _load(config_file: Path, model_file: Path) -> tuple[torch.nn.Module, argparse.Namespace]:
    """The teacher in evaluation mode, without its own anchor, codes and penalty, and its configuration."""
    from espnet2_birq.tasks.inputs import build_without_labels

    try:
        with open(config_file, encoding="utf-8") as stream:
            config = argparse.Namespace(**yaml.safe_load(stream))
        states = torch.load(model_file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BadInputError(f"anchor_conf: no such file: {error.filename}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(f"anchor_conf: the teacher {model_file} cannot be read: {reason}") from error
    model = build_without_labels(config, anchor="stacked", anchor_conf={})
    needed = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(TEACHER_PARTS)}
    for name, tensor in needed.items():
        if name not in states or states[name].shape != tensor.shape:
            raise BadInputError(f"anchor_conf: {model_file} has no {name} of shape {tuple(tensor.shape)}")
    model.load_state_dict({name: states[name] for name in needed}, strict=False)
    return model.eval(), config
