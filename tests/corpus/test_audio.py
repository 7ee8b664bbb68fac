from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from corpus_signals import pitch, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_birq.corpus.audio import AudioError, decode, encode, header_rate, num_samples_in_header, resample


def write_with_pyav(path: Path, codec: str, container_format: str, rate: int, seconds: float = 1.0) -> None:
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        samples = np.rint(tone(seconds, rate) * 32767).astype(np.int16)[None, :]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = rate
        for converted in [*av.AudioResampler(stream.format.name, "mono", rate).resample(frame)]:
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.aiff", "x.mp3"])
def test_common_formats_are_decoded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, tone(1.0, 22050), 22050)
    samples, rate = decode(path)
    assert rate == 22050
    assert samples.dtype == np.float32
    assert abs(len(samples) - 22050) < 2500  # MP3 pads
    assert pitch(samples, rate) == pytest.approx(440, abs=5)


def test_raw_g722_is_decoded_at_its_fixed_rate(tmp_path: Path) -> None:
    path = tmp_path / "prompt.g722"
    write_with_pyav(path, "g722", "g722", 16000)
    samples, rate = decode(path)
    assert rate == 16000
    assert len(samples) == 2 * path.stat().st_size  # two samples a byte
    assert pitch(samples, rate) == pytest.approx(440, abs=5)
    assert header_rate(path) is None


def test_what_libsndfile_does_not_know_goes_to_pyav(tmp_path: Path) -> None:
    path = tmp_path / "speech.m4a"
    write_with_pyav(path, "aac", "mp4", 16000)
    samples, rate = decode(path)
    assert rate == 16000
    assert pitch(samples, rate) == pytest.approx(440, abs=5)


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.stack([np.full(1000, 0.5), np.full(1000, -0.25)], axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, 16000, subtype="FLOAT")
    samples, _ = decode(tmp_path / "x.wav")
    np.testing.assert_allclose(samples, 0.125)


def test_a_file_is_told_by_its_content_not_its_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", tone(0.5), 16000)
    (tmp_path / "x.flac").rename(tmp_path / "x.wav")
    assert len(decode(tmp_path / "x.wav")[0]) == 8000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.wav", b"", "empty file"),
        ("x.g722", b"", "empty file"),
        ("x.wav", b"this is not audio at all" * 40, "cannot be decoded"),
        ("x.flac", b"fLaC" + bytes(200), "."),
        ("x.ogg", b"OggS" + bytes(200), "."),
    ],
)
def test_a_file_that_is_not_audio_is_an_audio_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError, match=message):
        decode(tmp_path / name)


def test_a_missing_file_is_an_audio_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        decode(tmp_path / "x.wav")


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
def test_a_truncated_file_is_an_audio_error(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, np.random.default_rng(0).uniform(-0.5, 0.5, 16000), 16000)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError):
        decode(tmp_path / name)


def test_a_wav_file_written_into_a_pipe_is_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(0.5), 16000)
    content = bytearray((tmp_path / "x.wav").read_bytes())
    position = content.index(b"data") + 4
    content[position : position + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "x.wav").write_bytes(content)
    assert len(decode(tmp_path / "x.wav")[0]) == 8000


def test_no_samples_is_an_audio_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(0), 16000)
    with pytest.raises(AudioError, match="no samples"):
        decode(tmp_path / "x.wav")


def test_samples_that_are_not_finite_are_an_audio_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.array([0.1, np.nan, 0.2]), 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="not finite"):
        decode(tmp_path / "x.wav")


@pytest.mark.parametrize("audio_format", ["flac", "wav"])
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=2000))
def test_sixteen_bit_audio_passes_bit_exactly(
    tmp_path_factory: pytest.TempPathFactory, audio_format: str, integers: list[int]
) -> None:
    path = tmp_path_factory.mktemp("audio") / f"x.{audio_format}"
    path.write_bytes(encode(np.array(integers, dtype=np.float32) / 32768, 16000, audio_format))
    samples, rate = decode(path)
    assert rate == 16000
    assert (samples * 32768).tolist() == integers
    assert num_samples_in_header(path) == len(integers)


def test_what_is_too_loud_is_clipped_not_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(encode(np.array([2.0, 1.0, -1.0, -2.0], dtype=np.float32), 16000, "wav"))
    assert (decode(path)[0] * 32768).tolist() == [32767, 32767, -32768, -32768]


@given(st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]))
def test_resampling_keeps_length_in_seconds_and_pitch(rate: int) -> None:
    samples = resample(tone(1.0, rate).astype(np.float32), rate, 16000)
    assert abs(len(samples) - 16000) <= 1
    assert pitch(samples, 16000) == pytest.approx(440, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.02)


def test_resampling_removes_what_the_lower_rate_cannot_hold() -> None:
    time = np.arange(44100) / 44100
    samples = resample(np.sin(2 * np.pi * 15000 * time).astype(np.float32), 44100, 16000)
    assert np.abs(samples[500:-500]).max() < 1e-3
