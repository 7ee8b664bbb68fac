"""Decode any audio file to mono float32, resample it, and encode it as 16-bit FLAC or WAV.

soundfile reads what libsndfile knows (WAV, FLAC, Ogg, SPHERE, MP3, ...); PyAV reads the rest, raw G.722 included.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

# Raw G.722 has no header: 64 kbit/s, 16 kHz, mono by definition.
_RAW_FORMATS = {".g722": "g722"}
# Sizes that a writer puts into a WAV header when it cannot seek back to fill in the true one.
_STREAMED_BYTES = 0x7FFFF000


class AudioError(Exception):
    """An audio file that cannot be used: what is wrong with it, without its name."""


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode a file, mixing its channels down to one.

    Returns:
        float32 samples (num_samples,) in [-1, 1], and the sampling rate in Hz.

    Raises:
        AudioError: the file is missing, empty, truncated, or not audio.
    """
    if not path.is_file():
        raise AudioError("no such file")
    if path.stat().st_size == 0:
        raise AudioError("empty file")
    if path.suffix.lower() in _RAW_FORMATS:
        samples, rate = _decode_with_pyav(path, _RAW_FORMATS[path.suffix.lower()])
    else:
        decoded = _decode_with_soundfile(path)
        samples, rate = decoded if decoded is not None else _decode_with_pyav(path, None)
    if samples.shape[0] == 0:
        raise AudioError("no samples")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise AudioError("samples that are not finite numbers")
    return np.ascontiguousarray(mono, dtype=np.float32), rate


def header_rate(path: Path) -> int | None:
    """Sampling rate in Hz from the header, or None when only decoding tells."""
    import soundfile

    if path.suffix.lower() in _RAW_FORMATS:
        return None
    try:
        return int(soundfile.info(str(path)).samplerate)
    except soundfile.LibsndfileError:
        return None


def _decode_with_soundfile(path: Path) -> tuple[np.ndarray, int] | None:
    """Samples (num_samples, channels) and rate; None when libsndfile does not know the format."""
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            declared = _declared_data_bytes(file.extra_info)
            if declared is not None:
                raise AudioError(
                    f"truncated: the header announces {declared[0]} bytes of audio, the file has {declared[1]}"
                )
            samples = file.read(dtype="float32", always_2d=True)
            if file.frames < 2**62 and samples.shape[0] != file.frames:
                raise AudioError(
                    f"truncated: the header announces {file.frames} samples, {samples.shape[0]} can be read"
                )
            return samples, file.samplerate
    except soundfile.LibsndfileError as error:
        if error.code == 1:  # unrecognised format
            return None
        raise AudioError(error.error_string.rstrip(".")) from error


def _declared_data_bytes(log: str) -> tuple[int, int] | None:
    """(declared, real) size of a WAV data chunk when libsndfile's log says that they differ and the file is short."""
    match = re.search(r"^\s*data : (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if match is None:
        return None
    declared, real = int(match.group(1)), int(match.group(2))
    return (declared, real) if real < declared < _STREAMED_BYTES else None


def _decode_with_pyav(path: Path, container_format: str | None) -> tuple[np.ndarray, int]:
    import av

    av.logging.set_level(None)
    try:
        with av.open(str(path), format=container_format) as container:
            if not container.streams.audio:
                raise AudioError("no audio stream")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp")
            blocks = [
                converted.to_ndarray()
                for frame in [*container.decode(stream), None]
                for converted in resampler.resample(frame)
            ]
            rate = int(stream.rate)
    except av.FFmpegError as error:
        raise AudioError(f"cannot be decoded ({error.strerror or error})") from error
    if not blocks:
        raise AudioError("no samples")
    return np.concatenate(blocks, axis=1).T, rate


def resample(samples: np.ndarray, rate: float, target_rate: int) -> np.ndarray:
    """Resample float32 ``samples`` (num_samples,) from ``rate`` to ``target_rate`` Hz (soxr, high quality)."""
    if rate == target_rate:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, target_rate, quality="HQ"), dtype=np.float32)


def encode(samples: np.ndarray, rate: int, audio_format: str) -> bytes:
    """Encode mono float32 ``samples`` as 16-bit ``audio_format`` (``flac`` or ``wav``), clipping at full scale.

    The bytes are built in memory because libsndfile reports a full disk as "System error", and sometimes not at all;
    writing bytes with Python gives the true errno.
    """
    import soundfile

    integers = np.clip(np.rint(samples.astype(np.float64) * 32768.0), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, integers, rate, format=audio_format.upper(), subtype="PCM_16")
    return buffer.getvalue()


def num_samples_in_header(path: Path) -> int:
    """Number of samples per channel of a WAV or FLAC file that we wrote.

    Raises:
        AudioError: the header cannot be read.
    """
    import soundfile

    try:
        return int(soundfile.info(str(path)).frames)
    except soundfile.LibsndfileError as error:
        raise AudioError(error.error_string.rstrip(".")) from error
