from __future__ import annotations

import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from espnet2.main_funcs.pack_funcs import unpack

from espnet2_birq.bin import birq_download, birq_pack, birq_upload
from espnet2_birq.errors import BadInputError

MODEL_CONFIG = {
    "frontend": "default",
    "frontend_conf": {"fs": 16000},
    "normalize": "global_mvn",
    "normalize_conf": {"stats_file": "exp/asr_stats_1/train/feats_stats.npz"},
    "preencoder": None,
    "preencoder_conf": {},
    "encoder": "conformer",
    "encoder_conf": {"num_blocks": 2},
    "token_list": ["<blank>", "exp/asr_x/config.yaml", "<sos/eos>"],
    "bpemodel": "data/token_list/bpe.model",
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe's folder after stage 12."""
    monkeypatch.chdir(tmp_path)
    files = {
        "exp/asr_x/config.yaml": yaml.safe_dump(MODEL_CONFIG),
        "exp/asr_x/valid.loss.ave_2best.pth": "weights",
        "exp/asr_x/RESULTS.md": "# RESULTS\n## Environments\n\n## exp/asr_x\n|a|b|\n",
        "exp/asr_x/images/loss.png": "png",
        "exp/asr_stats_1/train/feats_stats.npz": "stats",
        "data/token_list/bpe.model": "bpe",
        "exp/ssl_y/config.yaml": "model: birq\n",
        "exp/ssl_y/export/config.yaml": yaml.safe_dump(MODEL_CONFIG),
        "exp/ssl_y/export/encoder.pth": "encoder",
        "exp/ssl_y/diagnostics/diagnostics.json": "{}",
    }
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)
    Path("exp/asr_x/valid.loss.ave.pth").symlink_to("valid.loss.ave_2best.pth")
    return tmp_path


def pack_asr(out: str = "asr.zip") -> Path:
    birq_pack.main(["asr", "--exp", "exp/asr_x", "--model", "valid.loss.ave.pth", "--out", out])
    return Path(out)


def pack_ssl() -> Path:
    birq_pack.main(["ssl", "--exp", "exp/ssl_y", "--out", "ssl.zip"])
    return Path("ssl.zip")


def test_espnet_unpacks_an_asr_pack_and_finds_everything(recipe: Path) -> None:
    files = unpack(pack_asr(), "unpacked")
    assert Path(files["asr_model_file"]).name == "valid.loss.ave_2best.pth"
    assert Path(files["asr_model_file"]).read_text() == "weights"
    config = yaml.safe_load(Path(files["asr_train_config"]).read_text())
    assert Path(config["bpemodel"]).read_text() == "bpe"
    assert Path(config["normalize_conf"]["stats_file"]).read_text() == "stats"
    assert Path("unpacked/exp/asr_x/RESULTS.md").exists()


def test_espnet_unpacks_an_ssl_pack(recipe: Path) -> None:
    files = unpack(pack_ssl(), "unpacked")
    assert Path(files["ssl_model_file"]).read_text() == "encoder"
    assert Path(files["ssl_train_config"]).name == "config.yaml"


def test_the_same_files_make_the_same_bytes(recipe: Path) -> None:
    first = pack_asr("one.zip").read_bytes()
    os.utime("exp/asr_x/config.yaml", (1, 1))
    assert pack_asr("two.zip").read_bytes() == first


@pytest.mark.parametrize(
    ("lost", "complaint"),
    [
        ("exp/asr_x/config.yaml", "run stage 10 first"),
        ("exp/asr_x/valid.loss.ave_2best.pth", "run stage 10 first"),
        ("data/token_list/bpe.model", "bpe.model: no such file"),
    ],
)
def test_a_missing_part_is_named_and_no_pack_is_left(recipe: Path, lost: str, complaint: str) -> None:
    Path(lost).unlink()
    with pytest.raises(BadInputError, match=complaint):
        pack_asr()
    assert not list(recipe.glob("*.zip*"))


def test_files_outside_the_recipe_are_refused(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (recipe / "elsewhere").mkdir()
    monkeypatch.chdir(recipe / "elsewhere")
    with pytest.raises(BadInputError, match="outside the current folder"):
        birq_pack.main(["ssl", "--exp", "../exp/ssl_y", "--out", "x.zip"])


def test_an_upload_is_only_described_by_default(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack_asr()
    capsys.readouterr()
    birq_upload.main(["--pack", "asr.zip", "--hf_repo", "me/model"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("would upload to me/model: 8 files")
    assert {line.split()[1] for line in lines[1:]} >= {"README.md", "meta.yaml", "exp/asr_x/RESULTS.md"}


class FakeHub:
    """Stands for huggingface_hub.HfApi; remembers what it was given."""

    calls: list[tuple[str, dict[str, str]]] = []
    refusal: Exception | None = None

    def create_repo(self, repo: str, repo_type: str, exist_ok: bool) -> None:
        assert repo_type == "model"
        assert exist_ok
        if self.refusal is not None:
            raise self.refusal

    def upload_folder(self, repo_id: str, folder_path: str, commit_message: str) -> SimpleNamespace:
        root = Path(folder_path)
        files = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
        self.calls.append((repo_id, files))
        return SimpleNamespace(oid="0")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    monkeypatch.setattr("huggingface_hub.HfApi", FakeHub)
    monkeypatch.setattr(FakeHub, "calls", [])
    monkeypatch.setattr(FakeHub, "refusal", None)
    return FakeHub


@pytest.mark.parametrize("kind", ["ssl", "asr"])
def test_an_upload_sends_the_pack_with_a_card(recipe: Path, hub: type[FakeHub], kind: str) -> None:
    pack = pack_ssl() if kind == "ssl" else pack_asr()
    birq_upload.main(["--pack", str(pack), "--hf_repo", "me/model", "--dry_run", "false"])
    [(repo, files)] = hub.calls
    assert repo == "me/model"
    assert files.keys() == {"README.md", *zipfile.ZipFile(pack).namelist()}
    front = yaml.safe_load(files["README.md"].split("---")[1])
    assert front["library_name"] == "espnet"
    assert ("encoder.pth:encoder:encoder" in files["README.md"]) == (kind == "ssl")
    assert ("|a|b|" in files["README.md"]) == (kind == "asr")


def test_a_refused_upload_is_one_line(recipe: Path, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "refusal", OSError("401 Unauthorized\nand a long story"))
    with pytest.raises(BadInputError, match=r"me/model: the upload failed \(401 Unauthorized\)"):
        birq_upload.main(["--pack", str(pack_asr()), "--hf_repo", "me/model", "--dry_run", "false"])


@pytest.mark.parametrize("repo", ["model", "/model", "a/b/c"])
def test_a_repository_needs_an_owner_and_a_name(recipe: Path, repo: str) -> None:
    with pytest.raises(BadInputError, match="expected OWNER/NAME"):
        birq_upload.main(["--pack", str(pack_asr()), "--hf_repo", repo])


def test_a_damaged_pack_is_one_line(recipe: Path) -> None:
    pack = pack_asr()
    pack.write_bytes(pack.read_bytes()[:-100])
    with pytest.raises(BadInputError, match=r"asr\.zip: not a readable zip file"):
        birq_upload.main(["--pack", str(pack), "--hf_repo", "me/model"])


def test_a_local_asr_pack_becomes_an_experiment(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack_asr()
    for _ in range(2):
        birq_download.main(["--model", "asr.zip"])
        folder = Path(capsys.readouterr().out.splitlines()[-1].removeprefix("asr "))
        assert (folder / "model.pth").read_text() == "weights"
        assert (folder / "bpe.model").read_text() == "bpe"
        assert yaml.safe_load((folder / "config.yaml").read_text())["encoder"] == "conformer"


def test_a_local_ssl_pack_becomes_an_exported_encoder(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack_ssl()
    birq_download.main(["--model", "ssl.zip"])
    folder = Path(capsys.readouterr().out.splitlines()[-1].removeprefix("ssl "))
    assert (folder / "export/encoder.pth").read_text() == "encoder"


def test_a_pack_that_is_not_there_is_one_line(recipe: Path) -> None:
    with pytest.raises(BadInputError, match=r"no\.zip: no such pack"):
        birq_download.main(["--model", "no.zip"])
