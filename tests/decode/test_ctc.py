from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espnet2_birq.bin import birq_decode
from espnet2_birq.decode.ctc import GreedyDecoder, collapse, make_batches
from espnet2_birq.decode.data_dir import decode_data_dir
from espnet2_birq.errors import BadInputError
from espnet2_birq.tasks.asr import BiRQASRTask

TOKENS = ["<blank>", "<unk>", "<space>", "a", "b", "c", "<sos/eos>"]


@given(st.lists(st.integers(0, 3), max_size=12))
def test_collapsing_equals_a_plain_loop(path: list[int]) -> None:
    expected, last = [], None
    for token in path:
        if token not in (last, 0):
            expected.append(token)
        last = token
    assert collapse(torch.tensor(path, dtype=torch.int64)) == expected


@given(st.dictionaries(st.text("ab", min_size=1, max_size=4), st.integers(1, 50), max_size=15), st.integers(1, 100))
def test_batches_hold_every_utterance_once_and_no_more_audio_than_allowed(lengths: dict[str, int], most: int) -> None:
    batches = list(make_batches(lengths, most))
    assert sorted(utterance for batch in batches for utterance in batch) == sorted(lengths)
    for batch in batches:
        padded = max(lengths[utterance] for utterance in batch) * len(batch)
        assert padded <= most or len(batch) == 1


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained CTC model whose output is made lively, as training would have left it."""
    folder = tmp_path_factory.mktemp("asr")
    args = BiRQASRTask.get_parser().parse_args(["--output_dir", str(folder), "--token_type", "char"])
    args.token_list = TOKENS
    args.frontend_conf = {"fs": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "center": False}
    args.encoder = "conformer"
    # With ESPnet's default, rel_pos_type legacy, outputs depend on the padded length.
    args.encoder_conf = {"output_size": 16, "attention_heads": 2, "linear_units": 16, "num_blocks": 2}
    args.encoder_conf |= {"rel_pos_type": "latest"}
    args.normalize = "utterance_mvn"
    args.model_conf = {"ctc_weight": 1.0}
    torch.manual_seed(0)
    model = BiRQASRTask.build_model(args)
    with torch.no_grad():
        model.ctc.ctc_lo.weight.mul_(20.0)
    torch.save(model.state_dict(), folder / "model.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(args)))
    return folder


@pytest.fixture(scope="module")
def decoder(model_dir: Path) -> GreedyDecoder:
    return GreedyDecoder(model_dir / "config.yaml", model_dir / "model.pth")


def write_data_dir(folder: Path, seconds: list[float], rate: int = 16000) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number, length in enumerate(seconds):
        speech = generator.normal(0, 0.1, round(length * rate)).cumsum() * 0.01
        soundfile.write(folder / f"u{number}.flac", np.clip(speech, -1, 1), rate)
    names = [f"u{number}" for number in range(len(seconds))]
    (folder / "wav.scp").write_text("".join(f"{name} {folder / name}.flac\n" for name in names))
    lengths = [round(length * rate) for length in seconds]
    (folder / "utt2num_samples").write_text(
        "".join(f"{name} {length}\n" for name, length in zip(names, lengths, strict=True))
    )
    return folder


def read(path: Path) -> dict[str, str]:
    return {line.split(" ")[0]: line.partition(" ")[2] for line in path.read_text().splitlines()}


def test_hypotheses_do_not_depend_on_batch_mates(decoder: GreedyDecoder, tmp_path: Path) -> None:
    data = write_data_dir(tmp_path / "data", [1.0, 2.5, 0.7, 1.3])
    decode_data_dir(decoder, data, tmp_path / "alone", 0.1)
    decode_data_dir(decoder, data, tmp_path / "together", 100.0)
    assert read(tmp_path / "alone/token_int") == read(tmp_path / "together/token_int")
    assert any(read(tmp_path / "alone/token_int").values())


def test_the_files_are_those_of_espnet_and_agree(decoder: GreedyDecoder, tmp_path: Path) -> None:
    data = write_data_dir(tmp_path / "data", [1.0, 0.5])
    decode_data_dir(decoder, data, tmp_path / "out", 100.0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["score", "text", "token", "token_int"]
    tokens, numbers = read(tmp_path / "out/token"), read(tmp_path / "out/token_int")
    for utterance in ("u0", "u1"):
        assert tokens[utterance].split() == [TOKENS[int(number)] for number in numbers[utterance].split()]
        joined = "".join(" " if token == "<space>" else token for token in tokens[utterance].split())
        assert read(tmp_path / "out/text")[utterance].strip() == joined.strip()
        assert float(read(tmp_path / "out/score")[utterance]) < 0


def test_an_utterance_too_short_is_reported_and_left_empty(
    decoder: GreedyDecoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data_dir(tmp_path / "data", [0.05, 1.0, 0.12])
    decode_data_dir(decoder, data, tmp_path / "out", 100.0)
    assert read(tmp_path / "out/text")["u0"] == ""
    assert "warning: utterance u0 is too short" in capsys.readouterr().err


def test_a_wrong_sampling_rate_is_one_line(decoder: GreedyDecoder, tmp_path: Path) -> None:
    data = write_data_dir(tmp_path / "data", [1.0], rate=8000)
    with pytest.raises(BadInputError, match=r"u0\.flac .*8000 Hz.*16000 Hz"):
        decode_data_dir(decoder, data, tmp_path / "out", 100.0)
    assert not (tmp_path / "out").exists()


def test_a_damaged_audio_file_is_named(decoder: GreedyDecoder, tmp_path: Path) -> None:
    data = write_data_dir(tmp_path / "data", [1.0, 1.0])
    (data / "u1.flac").write_bytes(b"fLaC and no more")
    with pytest.raises(BadInputError, match=r"u1\.flac \(utterance u1\): cannot be read"):
        decode_data_dir(decoder, data, tmp_path / "out", 100.0)


def test_parameters_of_another_model_are_refused(model_dir: Path, tmp_path: Path) -> None:
    states = torch.load(model_dir / "model.pth")
    torch.save({key: value for key, value in states.items() if "encoders.1" not in key}, tmp_path / "other.pth")
    with pytest.raises(BadInputError, match="does not fit"):
        GreedyDecoder(model_dir / "config.yaml", tmp_path / "other.pth")


def test_a_misspelt_key_of_the_decoding_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "decode.yaml").write_text("batch_second: 10\n")
    with pytest.raises(BadInputError, match="unknown key batch_second: did you mean batch_seconds"):
        birq_decode.read_config(tmp_path / "decode.yaml")


def test_the_command_line_overrides_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "decode.yaml").write_text("batch_seconds: 10\n")
    arguments = [*birq_decode.read_config(tmp_path / "decode.yaml"), "--batch_seconds", "5"]
    required = [f"--{name}=x" for name in ("asr_train_config", "asr_model_file", "data_dir", "output_dir")]
    assert birq_decode.get_parser().parse_args([*required, *arguments]).batch_seconds == 5.0
