"""A watch over the statistics of training: what goes wrong silently is named in one line, and can stop the run.

A collapse of the enhanced labels looks like success (its loss falls, its accuracy rises), noise labels look like slow
learning, and ESPnet passes over steps that are not finite. All of it shows in statistics that the loss returns anyway.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping

import torch

from espnet2_birq.errors import BadInputError

ACTIONS = ("warn", "stop", "off")
WATCHED = (
    "loss",
    "anchoring_code_perplexity",
    "majority_anchoring",
    "loss_enhanced",
    "acc_enhanced",
    "enhanced_perplexity",
    "enhanced_agreement",
    "enhanced_code_perplexity",
)
# The first check comes early: its averages are what later ones are compared with.
START_STEPS = 10
# How much above ln N the enhanced label's loss may lie, in nats; a new head starts a little above.
WORSE_THAN_GUESSING = 0.2


class TrainingGuard:
    """Running averages of the training statistics, checked every so many steps; each trouble is reported once.

    Averages stay on the device between checks, so that no step waits for it. They are not saved: behind a resume, a
    collapse is measured from there on.

    Args:
        num_codes: N of the anchor's codebook.
        enhanced_codes: N of the enhanced label's codebook; by default the same.
        action: ``warn`` logs a line, ``stop`` also ends the run, ``off`` watches nothing.
        check_every: steps between checks.
        collapse_share: the enhanced labels collapse when the perplexity of their codes falls below this share of its
            highest average so far ...
        collapse_gain: ... while their accuracy is higher than it was then by this much.
        min_agreement: labels are noise when they are the nearest code less often than this, above chance.
        max_flatness: labels are flat when (perplexity - 1) / (N - 1) of the soft labels is above this.
        dead_share: a codebook is dead when the perplexity of its codes falls below this share of N (at least 2, at
            most 16 codes, since a batch cannot use them all).

    Raises:
        ValueError: on an unknown action or a check interval below one.
    """

    def __init__(
        self,
        num_codes: int,
        enhanced_codes: int | None = None,
        action: str = "warn",
        check_every: int = 50,
        collapse_share: float = 0.33,
        collapse_gain: float = 0.05,
        min_agreement: float = 0.25,
        max_flatness: float = 0.5,
        dead_share: float = 0.005,
    ) -> None:
        if action not in ACTIONS:
            raise ValueError(f"action must be one of {ACTIONS}, got {action!r}")
        if check_every < 1:
            raise ValueError(f"check_every must be at least 1, got {check_every}")
        self.num_codes = num_codes
        self.enhanced_codes = enhanced_codes or num_codes
        self.action = action
        self.check_every = check_every
        self.collapse_share = collapse_share
        self.collapse_gain = collapse_gain
        self.min_agreement = min_agreement
        self.max_flatness = max_flatness
        self.dead_share = dead_share
        self.steps = 0
        self._reported: set[str] = set()
        self._healthiest: tuple[float, float] | None = None  # code perplexity and accuracy of the enhanced labels
        self._names: tuple[str, ...] = ()
        self._sums: torch.Tensor | None = None  # one for each name, then the number of finite steps
        self._seen = 0

    @torch.no_grad()
    def update(self, stats: Mapping[str, torch.Tensor]) -> None:
        """Count in one training step's statistics, scalars on the device.

        Raises:
            BadInputError: if the action is ``stop`` and something is wrong.
        """
        if self.action == "off":
            return
        names = tuple(name for name in WATCHED if name in stats)
        values = torch.stack([stats[name].detach().float() for name in names])
        finite = torch.isfinite(values).all()
        row = torch.cat([torch.where(finite, values, 0.0), finite[None].float()])
        if self._sums is None or names != self._names:
            self._names, self._sums, self._seen = names, torch.zeros_like(row), 0
        self._sums += row
        self._seen += 1
        self.steps += 1
        if self.steps % self.check_every == 0 or self.steps == min(START_STEPS, self.check_every):
            self._check()

    def _check(self) -> None:
        *sums, finite = self._sums.tolist()
        lost, self._sums, seen = round(self._seen - finite), None, self._seen
        for name, message in self._troubles(
            dict(zip(self._names, (value / max(finite, 1) for value in sums), strict=True)), lost, seen
        ):
            if name not in self._reported:
                self._reported.add(name)
                line = f"guard: {name} at training step {self.steps}: {message}"
                logging.warning(line)
                if self.action == "stop":
                    raise BadInputError(line)

    def _troubles(self, mean: Mapping[str, float], lost: int, seen: int) -> Iterator[tuple[str, str]]:
        """Name and explanation of all that is wrong with these averages."""
        if lost:
            yield (
                "loss that is not finite",
                f"{lost} of the last {seen} steps, which ESPnet passes over; a likely cause is too high a learning "
                "rate or damaged audio: lower optim_conf lr, lengthen the warm-up, or look at the batch",
            )
        if lost == seen:
            return
        perplexity, fewest = mean["anchoring_code_perplexity"], self._fewest_codes(self.num_codes)
        if perplexity < fewest:
            yield (
                "dead anchoring codebook",
                f"{perplexity:.1f} of {self.num_codes} codes in use (perplexity), one for "
                f"{mean['majority_anchoring']:.0%} of the steps; features and codes are of different scales: check "
                "normalize, quantizer_conf distance and codebook_scale, or use quantizer: pca_projection",
            )
        if "enhanced_code_perplexity" in mean:
            yield from self._enhanced_troubles(mean)

    def _enhanced_troubles(self, mean: Mapping[str, float]) -> Iterator[tuple[str, str]]:
        codes, accuracy, count = mean["enhanced_code_perplexity"], mean["acc_enhanced"], self.enhanced_codes
        if self._healthiest is None or codes > self._healthiest[0]:
            self._healthiest = codes, accuracy
        most, accuracy_then = self._healthiest
        if codes < self.collapse_share * most and accuracy > accuracy_then + self.collapse_gain:
            yield (
                "collapse of the enhanced labels",
                f"{codes:.1f} codes in use (perplexity), down from {most:.1f}, while their accuracy rose from "
                f"{accuracy_then:.2f} to {accuracy:.2f}: the label path learns to be easy; set label_source_conf "
                "gradient: false, or lower w1 of penalty_conf",
            )
        elif codes < self._fewest_codes(count):
            yield (
                "dead enhanced codebook",
                f"{codes:.1f} of {count} codes in use (perplexity): nearly all steps have one label; set "
                "label_source_conf normalization: utterance, gradient: false, or another layer",
            )
        if self.steps > START_STEPS and mean["loss_enhanced"] > math.log(count) + WORSE_THAN_GUESSING:
            yield (
                "enhanced labels that are not predicted",
                f"their loss is {mean['loss_enhanced']:.2f}, above the {math.log(count):.2f} of guessing: the head "
                "follows the anchoring labels, which name other codes for the same sound; set label_source_conf head: "
                "separate or gradient: true, or raise w1 of penalty_conf",
            )
        agreement, perplexity = mean["enhanced_agreement"], mean["enhanced_perplexity"]
        if above_chance(agreement, count) < self.min_agreement:
            yield (
                "noise labels",
                f"the enhanced label is the nearest code at {agreement:.0%} of the steps (label perplexity "
                f"{perplexity:.1f} of {count}): noise outweighs the distances; set quantizer_conf distance: raw or a "
                "larger codebook_scale, or label_source_conf noise: none",
            )
        elif perplexity - 1 > self.max_flatness * (count - 1):
            yield (
                "flat labels",
                f"the enhanced label spreads over {perplexity:.1f} of {count} codes (perplexity): distances are small "
                "against the temperature; set quantizer_conf distance: raw, or lower label_source_conf tau",
            )

    def _fewest_codes(self, count: int) -> float:
        """Perplexity below which a codebook of so many codes is dead."""
        return min(max(2.0, self.dead_share * count), 16.0, 1 + (count - 1) / 4)


def above_chance(agreement: float, num_codes: int) -> float:
    """Agreement rescaled so that guessing one of N codes is 0 and full agreement 1."""
    return (agreement - 1 / num_codes) / (1 - 1 / num_codes) if num_codes > 1 else agreement
