"""Upload of a pack to the Hugging Face hub, and what it would do."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2_birq.errors import BadInputError
from espnet2_birq.hub.model_card import model_card
from espnet2_birq.hub.pack import open_pack


@dataclass(frozen=True)
class Plan:
    """What an upload would send: the files of a repository by name, without the audio or data of anybody."""

    repo: str
    files: dict[str, bytes]

    def describe(self) -> str:
        """One line for each file, with its size."""
        total = sum(len(content) for content in self.files.values())
        lines = [f"{self.repo}: {len(self.files)} files, {total / 1e6:.1f} MB, to the root of its main branch"]
        lines += [f"{len(content):>12d}  {name}" for name, content in self.files.items()]
        return "\n".join(lines)


def make_plan(pack: Path, repo: str) -> Plan:
    """Read a pack and add a model card.

    Raises:
        BadInputError: if the pack cannot be read or the repository's name is not ``owner/name``.
    """
    import yaml

    if repo.count("/") != 1 or repo.startswith("/") or repo.endswith("/"):
        raise BadInputError(f"--hf_repo {repo}: expected OWNER/NAME")
    archive, meta = open_pack(pack)
    with archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    kind = "ssl" if "ssl_model_file" in meta["files"] else "asr"
    config: dict[str, Any] = yaml.safe_load(files[meta["yaml_files"][f"{kind}_train_config"]])
    results = [content for name, content in files.items() if Path(name).name == "RESULTS.md"]
    card = model_card(kind, repo, meta, config, results[0].decode() if results else "")
    return Plan(repo, {"README.md": card.encode()} | files)


def upload(plan: Plan) -> str:
    """Create the repository where it does not exist, upload the files in one commit, and return the commit's address.

    Raises:
        BadInputError: if the hub refuses.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise BadInputError("uploading needs huggingface_hub: pip install 'espnet2_birq[hub]'") from None
    with tempfile.TemporaryDirectory() as folder:
        for name, content in plan.files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            api = HfApi()
            api.create_repo(plan.repo, repo_type="model", exist_ok=True)
            commit = api.upload_folder(repo_id=plan.repo, folder_path=folder, commit_message="Upload the model")
        except (OSError, ValueError) as error:  # what huggingface_hub raises derives from these
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise BadInputError(
                f"{plan.repo}: the upload failed ({reason}): check the name, `hf auth login`"
            ) from error
    return str(commit)
