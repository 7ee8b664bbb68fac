"""ESPnet's ASR task with the plugin's input classes and trainer."""

from __future__ import annotations

from espnet2.tasks import asr

from espnet2_birq.tasks.stacking import FrameStacking
from espnet2_birq.train.trainer import BiRQTrainer

asr.preencoder_choices.classes["stacking"] = FrameStacking


class BiRQASRTask(asr.ASRTask):
    """Fine-tuning: what ESPnet's ASR task does, with crash-safe checkpoints and CPU autocast."""

    trainer = BiRQTrainer
