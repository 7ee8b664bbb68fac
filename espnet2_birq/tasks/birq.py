"""The pretraining task: ESPnet's SSL task with BiRQ's parts in its class choices."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.tasks import ssl
from espnet2.torch_utils.initialize import initialize
from espnet2.train.collate_fn import CommonCollateFn

from espnet2_birq.errors import BadInputError
from espnet2_birq.features import input_layer_subsampling, resolve_layer
from espnet2_birq.loss import BiRQLoss
from espnet2_birq.tasks.build import build
from espnet2_birq.tasks.choices import (
    OWN_CHOICES,
    anchor_choices,
    distillation_choices,
    guard_choices,
    label_source_choices,
    masker_choices,
    penalty_choices,
    quantizer_choices,
)
from espnet2_birq.tasks.stacking import FrameStacking
from espnet2_birq.tasks.teacher import TeacherLayer
from espnet2_birq.train.trainer import BiRQTrainer

DEFAULTS = {
    "frontend": "default",
    "normalize": "utterance_mvn",
    "preencoder": None,
    "encoder": "conformer",
    "model": "birq",
    "num_att_plot": 0,
    "token_list": [],
}


class BiRQTask(ssl.SSLTask):
    """Pretraining from audio alone; no token list, no text.

    Adds the groups ``masker``, ``anchor``, ``quantizer``, ``label_source``, ``penalty``, ``distillation`` and ``guard``
    (each with its ``_conf``) to those of ESPnet's SSL task, of which ``loss``, ``util`` and ``specaug`` have no meaning
    here.
    """

    class_choices_list = [*ssl.SSLTask.class_choices_list, *OWN_CHOICES]
    trainer = BiRQTrainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """ESPnet's arguments with this task's defaults."""
        super().add_task_arguments(parser)
        parser.get_default("required").remove("token_list")
        parser.set_defaults(**DEFAULTS, loss=[], util=[])

    @classmethod
    def build_collate_fn(
        cls, args: argparse.Namespace, train: bool
    ) -> Callable[[Collection[tuple[str, dict[str, np.ndarray]]]], tuple[list[str], dict[str, torch.Tensor]]]:
        """Zero-padded batches of whole utterances; nothing is cropped to the shortest."""
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> None:
        """Waveforms go in as they are."""
        return None

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetSSLModel:
        """The model of a configuration.

        Raises:
            BadInputError: naming the configuration key that cannot be used.
        """
        for key in ("loss", "util", "specaug"):
            if getattr(args, key):
                raise BadInputError(f"{key}: not used by the BiRQ task; remove it from the configuration")
        if args.model != "birq":
            raise BadInputError(f"model: must be birq, got {args.model}")
        args.token_list = []
        for choices in OWN_CHOICES:
            # An experiment's configuration may be older than a group.
            vars(args).setdefault(choices.name, choices.default)
            vars(args).setdefault(f"{choices.name}_conf", {})

        frontend, input_size = None, args.input_size
        if input_size is None:
            frontend = build(ssl.frontend_choices, args.frontend, args.frontend_conf)
            input_size = frontend.output_size()
            if args.frontend_conf.get("center", True) and args.frontend == "default":
                logging.warning(
                    "frontend_conf center is true: the last frames of an utterance see the padding, so labels "
                    "depend on batch mates; set center: false"
                )
        normalize = build(ssl.normalize_choices, args.normalize, args.normalize_conf)
        feature_size = input_size
        preencoder = None
        if args.preencoder is not None:
            preencoder = build(ssl.preencoder_choices, args.preencoder, args.preencoder_conf, input_size=input_size)
            input_size = preencoder.output_size()
        stacking = preencoder.factor if isinstance(preencoder, FrameStacking) else 1
        encoder = build(ssl.encoder_choices, args.encoder, args.encoder_conf, input_size=input_size)
        if not hasattr(encoder, "encoders"):
            raise BadInputError(f"encoder: {args.encoder} has no list of layers to take enhanced labels from")
        if args.encoder_conf.get("layer_drop_rate", 0.0):
            raise BadInputError("encoder_conf: layer_drop_rate must be 0: the label layer must not move")
        try:
            default_input_layer = args.encoder_conf.get("input_layer", "conv2d")
            subsampling = input_layer_subsampling(default_input_layer, stacking)
        except ValueError as error:
            raise BadInputError(str(error)) from error

        anchor = build(
            anchor_choices, args.anchor, args.anchor_conf, subsampling=subsampling, feature_size=feature_size
        )
        if isinstance(anchor, TeacherLayer):
            anchor.require_same_input(args)
        quantizer = build(quantizer_choices, args.quantizer, args.quantizer_conf, input_dim=anchor.size)
        penalty = build(penalty_choices, args.penalty, args.penalty_conf)
        source = build(
            label_source_choices,
            args.label_source,
            args.label_source_conf,
            hidden_dim=encoder.output_size(),
            quantizer=quantizer,
        )
        distillation = build(
            distillation_choices,
            args.distillation,
            args.distillation_conf,
            encoder_dim=encoder.output_size(),
            quantizer=quantizer,
        )
        depth = len(encoder.encoders)
        (label_layer,) = resolve_layers("label_source_conf", [source.layer], depth)
        distilled = () if distillation is None else resolve_layers("distillation_conf", distillation.layers, depth)
        model = build(
            ssl.model_choices,
            args.model,
            args.model_conf,
            frontend=frontend,
            specaug=None,
            normalize=normalize,
            preencoder=preencoder,
            encoder=encoder,
            subsampling=subsampling,
            anchor=anchor,
            masker=build(masker_choices, args.masker, args.masker_conf),
            loss=BiRQLoss(encoder.output_size(), quantizer, source if penalty.uses_enhanced else None),
            penalty=penalty,
            label_layer=label_layer,
            distillation=distillation,
            distilled_layers=distilled,
            accumulation=args.accum_grad,
            guard=build(
                guard_choices,
                args.guard,
                args.guard_conf,
                num_codes=quantizer.num_codes,
                enhanced_codes=source.num_codes,
            ),
        )
        if args.init is not None:
            initialize(model, args.init)
        logging.info(f"Quantizer fingerprint: {quantizer.fingerprint()}")
        return model


def resolve_layers(group: str, layers: Sequence[int | float], depth: int) -> list[int]:
    """Layer numbers from 1 for numbers or fractions of the depth, without repetition, in order.

    Raises:
        BadInputError: naming the group of the configuration, if there is no such layer.
    """
    try:
        return sorted({resolve_layer(layer, depth) for layer in layers})
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{group}: {error}") from error
