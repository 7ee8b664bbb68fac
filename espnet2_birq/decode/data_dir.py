"""Decode a formatted data directory and write the hypotheses in ESPnet's layout."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from espnet2_birq.corpus.tables import read_table, write_table
from espnet2_birq.errors import BadInputError

if TYPE_CHECKING:
    from espnet2_birq.decode.ctc import GreedyDecoder

# Below this, frontends fail in ways of their own.
SHORTEST_SECONDS = 0.1
_PROGRESS_SECONDS = 10.0


def read_waveform(utterance: str, path: Path, sampling_rate: int) -> np.ndarray:
    """Mono float32 waveform (samples,) of a formatted file.

    Raises:
        BadInputError: if the file is missing, damaged, not mono or has another sampling rate.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise BadInputError(f"{path} (utterance {utterance}): cannot be read ({error}): run stage 3 again") from None
    if rate != sampling_rate or samples.shape[1] != 1:
        raise BadInputError(
            f"{path} (utterance {utterance}): {rate} Hz, {samples.shape[1]} channels, but the model takes "
            f"{sampling_rate} Hz mono: run stage 3 with --fs {sampling_rate}"
        )
    return samples[:, 0]


def decode_data_dir(decoder: GreedyDecoder, data_dir: Path, output_dir: Path, batch_seconds: float) -> None:
    """Decode every utterance; write ``token_int``, ``token``, ``score`` and at last ``text``.

    Args:
        decoder: the model.
        data_dir: formatted set, with ``wav.scp`` and ``utt2num_samples``.
        output_dir: gets the files.
        batch_seconds: audio in one batch, padding included.

    Raises:
        BadInputError: if the set or an audio file cannot be used.
    """
    import torch

    from espnet2_birq.decode.ctc import make_batches

    audio = {utterance: Path(path) for utterance, path in read_table(data_dir / "wav.scp").items()}
    lengths = {key: int(value) for key, value in read_table(data_dir / "utt2num_samples").items()}
    if lengths.keys() != audio.keys():
        raise BadInputError(f"{data_dir}: wav.scp and utt2num_samples list different utterances: run stage 3 again")
    rate = decoder.sampling_rate
    if decoder.depends_on_padding:
        print(
            "birq_decode: warning: encoder_conf has no 'rel_pos_type: latest', so texts depend a little on the batches",
            file=sys.stderr,
        )
    hypotheses = {}
    too_short = [utterance for utterance, length in lengths.items() if length < SHORTEST_SECONDS * rate]
    long_enough = {utterance: length for utterance, length in lengths.items() if length >= SHORTEST_SECONDS * rate}
    start = last = time.monotonic()
    for batch in make_batches(long_enough, round(batch_seconds * rate)):
        waveforms = [torch.from_numpy(read_waveform(utterance, audio[utterance], rate)) for utterance in batch]
        for utterance, hypothesis in zip(batch, decoder(waveforms), strict=True):
            if hypothesis is None:
                too_short.append(utterance)
            else:
                hypotheses[utterance] = hypothesis
        if time.monotonic() - last > _PROGRESS_SECONDS:
            last = time.monotonic()
            print(f"decoded {len(hypotheses)} of {len(audio)} utterances in {last - start:.0f} s", flush=True)
    for utterance in sorted(too_short):
        print(f"birq_decode: warning: utterance {utterance} is too short, its text is left empty", file=sys.stderr)
        hypotheses[utterance] = decoder.hypothesis([], 0.0)
    seconds = max(time.monotonic() - start, 1e-6)
    speech = sum(lengths.values()) / rate
    print(f"decoded {len(audio)} utterances, {speech:.0f} s of speech, in {seconds:.1f} s ({speech / seconds:.1f} x)")

    output_dir.mkdir(parents=True, exist_ok=True)
    for name in ("token_int", "token", "score", "text"):
        values = {utterance: getattr(hypothesis, name) for utterance, hypothesis in hypotheses.items()}
        table = {
            utterance: " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for utterance, value in values.items()
        }
        write_table(output_dir / name, table)
