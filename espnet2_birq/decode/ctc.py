"""Greedy CTC decoding in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from espnet2.text.build_tokenizer import build_tokenizer
from espnet2.text.token_id_converter import TokenIDConverter

from espnet2_birq.errors import BadInputError
from espnet2_birq.tasks.asr import BiRQASRTask

BLANK = 0


@dataclass(frozen=True)
class Hypothesis:
    """Output of the decoder for one utterance; ``score`` is the log probability of the best path."""

    token_int: tuple[int, ...]
    token: tuple[str, ...]
    text: str
    score: float


def make_batches(lengths: Mapping[str, int], largest: int) -> Iterator[list[str]]:
    """Utterances in batches of similar length, longest first, so that a lack of memory shows at once.

    Args:
        lengths: samples of each utterance.
        largest: samples in one batch, padding included; a longer utterance makes a batch of its own.
    """
    batch: list[str] = []
    for utterance in sorted(lengths, key=lambda utterance: (-lengths[utterance], utterance)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > largest:
            yield batch
            batch = []
        batch.append(utterance)
    if batch:
        yield batch


def collapse(path: torch.Tensor) -> list[int]:
    """Token ids of a CTC path (T,): repetitions merged, then blanks left out."""
    merged = torch.unique_consecutive(path)
    return merged[merged != BLANK].tolist()


class GreedyDecoder:
    """An ASR model whose CTC branch is decoded by the best token of every step.

    Args:
        config: ``config.yaml`` of the training.
        model_file: parameters.
        device: torch device.

    Raises:
        BadInputError: if the parameters do not fit the configuration, or the model has no CTC branch.
    """

    def __init__(self, config: Path, model_file: Path, device: str = "cpu") -> None:
        for path in (config, model_file):
            if not path.exists():
                raise BadInputError(f"{path}: no such file: run stage 10 first, or correct the path")
        self.model, self.args = BiRQASRTask.build_model_from_file(config, model_file, device)
        # ESPnet loads whatever keys happen to fit.
        stored = torch.load(model_file, map_location="meta", weights_only=True).keys()
        unequal = stored ^ self.model.state_dict().keys()
        if unequal:
            example = sorted(unequal)[0]
            raise BadInputError(f"{model_file} does not fit {config}: {len(unequal)} keys differ, such as {example}")
        if self.model.ctc is None:
            raise BadInputError(f"{config}: the model has no CTC branch (ctc_weight 0): use --asr_inference espnet")
        self.model.eval()
        self.device = device
        self.converter = TokenIDConverter(token_list=self.args.token_list)
        self.tokenizer = build_tokenizer(token_type=self.args.token_type, bpemodel=self.args.bpemodel)

    @property
    def sampling_rate(self) -> int:
        """Sampling rate in Hz that the frontend was built for."""
        rate = str((self.args.frontend_conf or {}).get("fs", 16000))
        return round(float(rate[:-1]) * 1000) if rate.endswith("k") else int(rate)

    @property
    def depends_on_padding(self) -> bool:
        """Whether outputs depend on batch mates: so it is with ESPnet's default relative positions."""
        conf = self.args.encoder_conf or {}
        legacy = (
            conf.get("rel_pos_type", "legacy") == "legacy" and conf.get("pos_enc_layer_type", "rel_pos") == "rel_pos"
        )
        return legacy and self.args.encoder in ("conformer", "branchformer", "e_branchformer")

    def hypothesis(self, token_int: list[int], score: float) -> Hypothesis:
        """Tokens and text of token ids."""
        token = self.converter.ids2tokens(token_int)
        return Hypothesis(tuple(token_int), tuple(token), self.tokenizer.tokens2text(token), score)

    @torch.inference_mode()
    def __call__(self, speech: list[torch.Tensor]) -> list[Hypothesis | None]:
        """Decode one batch.

        Args:
            speech: waveforms (samples,), float32.

        Returns:
            A hypothesis for each; None for one too short to make a single encoder step.
        """
        lengths_B = torch.tensor([len(waveform) for waveform in speech], device=self.device)
        speech_BS = torch.nn.utils.rnn.pad_sequence(speech, batch_first=True).to(self.device)
        try:
            encoded, steps_B = self.model.encode(speech_BS, lengths_B)
        except TooShortUttError:
            return [None] * len(speech)
        encoded_BTD = encoded[0] if isinstance(encoded, tuple) else encoded
        score_BT, path_BT = self.model.ctc.log_softmax(encoded_BTD).max(dim=2)
        score_BT, path_BT = score_BT.cpu(), path_BT.cpu()
        hypotheses: list[Hypothesis | None] = []
        for score_T, path_T, steps in zip(score_BT, path_BT, steps_B.tolist(), strict=True):
            if steps < 1:
                hypotheses.append(None)
            else:
                hypotheses.append(self.hypothesis(collapse(path_T[:steps]), float(score_T[:steps].sum())))
        return hypotheses
