"""ESPnet's trainer with crash-safe checkpoints and reduced precision on the CPU."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from espnet2.schedulers.abs_scheduler import AbsScheduler
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer, TrainerOptions
from espnet2.utils.build_dataclass import build_dataclass

from espnet2_birq.train.checkpoint import atomic_torch_save, load_newest, repair_epoch_files

CPU_DTYPES = ("float32", "bfloat16")


@dataclass
class BiRQTrainerOptions(TrainerOptions):
    """ESPnet's options and ours.

    Attributes:
        cpu_dtype: autocast dtype on the CPU; ESPnet's ``use_amp`` is for CUDA only.
    """

    cpu_dtype: str = "float32"


class BiRQTrainer(Trainer):
    """For pretraining and fine-tuning alike."""

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Options that ESPnet's trainer does not have."""
        parser.add_argument(
            "--cpu_dtype",
            choices=CPU_DTYPES,
            default="float32",
            help="Autocast dtype of training on the CPU (bfloat16 pays where the processor has it)",
        )

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> BiRQTrainerOptions:
        """Options from the command line; the configuration file's values are not checked by argparse.

        Raises:
            ValueError: on an unknown ``cpu_dtype``.
        """
        if args.cpu_dtype not in CPU_DTYPES:
            raise ValueError(f"cpu_dtype must be one of {CPU_DTYPES}, got {args.cpu_dtype!r}")
        return build_dataclass(BiRQTrainerOptions, args)

    @classmethod
    def run(cls, *, trainer_options: BiRQTrainerOptions, **kwargs: Any) -> None:
        """Train; files are written atomically, and what an earlier crash left incomplete is completed first."""
        with atomic_torch_save():
            if trainer_options.resume:
                repair_epoch_files(Path(trainer_options.output_dir), trainer_options.best_model_criterion)
            super().run(trainer_options=trainer_options, **kwargs)

    @staticmethod
    def resume(
        checkpoint: str | Path,
        model: torch.nn.Module,
        reporter: Reporter,
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[AbsScheduler | None],
        scaler: Any,
        ngpu: int = 0,
        strict: bool = True,
    ) -> None:
        """Continue from the newest readable checkpoint beside ``checkpoint``."""
        states = load_newest(Path(checkpoint).parent)
        model.load_state_dict(states["model"], strict=strict)
        reporter.load_state_dict(states["reporter"])
        for optimizer, state in zip(optimizers, states["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        for scheduler, state in zip(schedulers, states["schedulers"], strict=True):
            if scheduler is not None:
                scheduler.load_state_dict(state)
        if scaler is not None and states["scaler"] is not None:
            scaler.load_state_dict(states["scaler"])
        logging.info(f"Resumed behind epoch {reporter.get_epoch()} from {Path(checkpoint).parent}")

    @classmethod
    def train_one_epoch(cls, *, options: BiRQTrainerOptions, **kwargs: Any) -> bool:
        """ESPnet's epoch under CPU autocast."""
        with cls._cpu_autocast(options):
            return super().train_one_epoch(options=options, **kwargs)

    @classmethod
    def validate_one_epoch(cls, *, options: BiRQTrainerOptions, **kwargs: Any) -> None:
        """ESPnet's validation under CPU autocast."""
        with cls._cpu_autocast(options):
            super().validate_one_epoch(options=options, **kwargs)

    @staticmethod
    def _cpu_autocast(options: BiRQTrainerOptions) -> AbstractContextManager[None]:
        reduced = options.ngpu == 0 and options.cpu_dtype == "bfloat16"
        # The context spans an epoch, and autocast's cache of cast weights lives as long as its context: with it, every
        # step of the epoch would run on the weights of the first.
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced, cache_enabled=False)
