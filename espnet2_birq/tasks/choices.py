"""The classes that a configuration chooses between, by the names it gives them."""

from __future__ import annotations

from espnet2.tasks import ssl
from espnet2.train.class_choices import ClassChoices

from espnet2_birq.espnet_model import ESPnetBiRQModel
from espnet2_birq.features import AnchorFeatures, CepstralFrames, StackedFrames
from espnet2_birq.labels import (
    CentroidQuantizer,
    EnhancedLabels,
    OnlinePCAQuantizer,
    PCAProjectionQuantizer,
    Quantizer,
    RandomProjectionQuantizer,
)
from espnet2_birq.loss import CodebookDistillation, ConstantPenalty, LinearPenalty, Penalty, PiecewisePenalty
from espnet2_birq.masking import SpanMasker
from espnet2_birq.tasks.stacking import FrameStacking
from espnet2_birq.tasks.teacher import TeacherLayer
from espnet2_birq.train.guard import TrainingGuard

ssl.model_choices.classes["birq"] = ESPnetBiRQModel
ssl.preencoder_choices.classes["stacking"] = FrameStacking

masker_choices = ClassChoices("masker", {"span": SpanMasker}, type_check=SpanMasker, default="span")
anchor_choices = ClassChoices(
    "anchor",
    {"stacked": StackedFrames, "mfcc": CepstralFrames, "teacher": TeacherLayer},
    type_check=AnchorFeatures,
    default="stacked",
)
quantizer_choices = ClassChoices(
    "quantizer",
    {
        "random_projection": RandomProjectionQuantizer,
        "pca_projection": PCAProjectionQuantizer,
        "online_pca": OnlinePCAQuantizer,
        "centroids": CentroidQuantizer,
    },
    type_check=Quantizer,
    default="random_projection",
)
label_source_choices = ClassChoices(
    "label_source", {"enhanced": EnhancedLabels}, type_check=EnhancedLabels, default="enhanced"
)
penalty_choices = ClassChoices(
    "penalty",
    {"constant": ConstantPenalty, "linear": LinearPenalty, "piecewise": PiecewisePenalty},
    type_check=Penalty,
    default="constant",
)
distillation_choices = ClassChoices(
    "distillation",
    {"self_similarity": CodebookDistillation},
    type_check=CodebookDistillation,
    default=None,
    optional=True,
)
guard_choices = ClassChoices("guard", {"statistics": TrainingGuard}, type_check=TrainingGuard, default="statistics")

OWN_CHOICES = (
    masker_choices,
    anchor_choices,
    quantizer_choices,
    label_source_choices,
    penalty_choices,
    distillation_choices,
    guard_choices,
)
