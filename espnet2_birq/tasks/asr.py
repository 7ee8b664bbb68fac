"""ESPnet's ASR task with the plugin's input classes and trainer."""

from __future__ import annotations

import importlib.util
import sys
import types

from espnet2.tasks import asr
from rapidfuzz.distance import Levenshtein

from espnet2_birq.tasks.stacking import FrameStacking
from espnet2_birq.train.trainer import BiRQTrainer

asr.preencoder_choices.classes["stacking"] = FrameStacking


def provide_edit_distance() -> None:
    """Let ESPnet report error rates during training without editdistance, which has no wheels for Python 3.13."""
    if importlib.util.find_spec("editdistance") is None:
        substitute = types.ModuleType("editdistance")
        substitute.eval = Levenshtein.distance  # type: ignore[attr-defined]
        sys.modules["editdistance"] = substitute


class BiRQASRTask(asr.ASRTask):
    """Fine-tuning: what ESPnet's ASR task does, with crash-safe checkpoints and CPU autocast."""

    trainer = BiRQTrainer


provide_edit_distance()
