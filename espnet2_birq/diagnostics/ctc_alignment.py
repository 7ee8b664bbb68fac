"""Reference classes by forced alignment with a fine-tuned CTC model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from torchaudio.functional import forced_align

from espnet2_birq.decode.ctc import BLANK, GreedyDecoder
from espnet2_birq.diagnostics.references import UNKNOWN, Reference, StepTimes, nearest_classes, speech_ends
from espnet2_birq.diagnostics.utterances import Utterance
from espnet2_birq.errors import BadInputError

SPACES = ("<space>", "▁")


class CTCAligner:
    """Places the tokens of a transcript in time.

    Args:
        asr_exp: experiment folder of stage 10.
        model_file: which of its models.

    Raises:
        BadInputError: if the model cannot be used.
    """

    def __init__(self, asr_exp: Path, model_file: str) -> None:
        self.decoder = GreedyDecoder(asr_exp / "config.yaml", asr_exp / model_file)
        self.tokens = tuple(self.decoder.args.token_list)

    @torch.inference_mode()
    def __call__(self, samples: torch.Tensor, text: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Token ids (U,) and when each is emitted, as a share of the utterance (U,); None if they do not fit in."""
        ids = self.decoder.converter.tokens2ids(self.decoder.tokenizer.text2tokens(text))
        try:
            encoded, lengths = self.decoder.model.encode(samples[None], torch.tensor([len(samples)]))
        except TooShortUttError:
            return None
        encoded_1TD = encoded[0] if isinstance(encoded, tuple) else encoded
        repeats = sum(first == second for first, second in zip(ids, ids[1:], strict=False))
        if not ids or len(ids) + repeats > int(lengths[0]):
            return None
        log_probabilities = self.decoder.model.ctc.log_softmax(encoded_1TD)[:, : int(lengths[0])]
        path_T = forced_align(log_probabilities.float(), torch.tensor([ids], dtype=torch.int32), blank=BLANK)[0][0]
        return spikes(path_T.numpy())


def spikes(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a CTC path (T,) and the middle of each one's steps, as a share of the path's length."""
    starts = np.flatnonzero(np.diff(path, prepend=BLANK) != 0)
    ends = np.append(starts[1:], len(path))
    token = path[starts] != BLANK
    return path[starts][token].astype(np.int64), ((starts + ends) / 2)[token] / len(path)


def ctc_reference(
    utterances: Sequence[Utterance],
    times: StepTimes,
    num_steps: Mapping[str, int],
    sampling_rate: int,
    asr_exp: Path,
    model_file: str,
) -> Reference:
    """Tokens of the ASR model, aligned by its CTC branch. Spaces are no class: their steps go to the neighbours.

    Raises:
        BadInputError: if the model cannot be used, or no transcript can be aligned.
    """
    aligner = CTCAligner(asr_exp, model_file)
    classes = {}
    for utterance in utterances:
        classes[utterance.name] = np.full(num_steps[utterance.name], UNKNOWN, dtype=np.int64)
        aligned = aligner(utterance.samples, utterance.text) if utterance.text else None
        if aligned is None:
            continue
        tokens, shares = aligned
        spoken = np.array([aligner.tokens[token] not in SPACES for token in tokens], dtype=bool)
        seconds = shares * len(utterance.samples) / sampling_rate
        ends = speech_ends(utterance.samples.numpy(), sampling_rate)
        classes[utterance.name] = nearest_classes(
            tokens[spoken], seconds[spoken], ends, times(num_steps[utterance.name])
        )
    if all((row == UNKNOWN).all() for row in classes.values()):
        raise BadInputError(f"{asr_exp}: no transcript can be aligned; does the data directory have a text file?")
    return Reference(f"CTC forced alignment of {aligner.decoder.args.token_type} tokens", aligner.tokens, classes)
