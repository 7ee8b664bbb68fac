"""ESPnet's ASR task with the plugin's input classes and trainer."""

from __future__ import annotations

import argparse
import importlib.util
import logging

from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks import asr

from espnet2_birq.tasks.stacking import FrameStacking
from espnet2_birq.train.trainer import BiRQTrainer

asr.preencoder_choices.classes["stacking"] = FrameStacking


class BiRQASRTask(asr.ASRTask):
    """Fine-tuning: what ESPnet's ASR task does, with crash-safe checkpoints and CPU autocast."""

    trainer = BiRQTrainer

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetASRModel:
        """ESPnet's model; without error rates during training where their package cannot be had (Python 3.13)."""
        if importlib.util.find_spec("editdistance") is None:
            logging.warning("editdistance is not installed: no error rates are reported during training")
            args.model_conf = {**args.model_conf, "report_cer": False, "report_wer": False}
        return super().build_model(args)
