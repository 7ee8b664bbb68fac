"""mini_an4: eight utterances of CMU's AN4, which come inside the ESPnet package; enough to see that everything runs."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from espnet2_birq.corpus.archives import extract_tar
from espnet2_birq.corpus.data_dir import DataDir, write_data_dir
from espnet2_birq.corpus.tables import read_lines
from espnet2_birq.errors import BadInputError

_ARCHIVE = "egs3/mini_an4/esp2_asr/downloads.tar.gz"
_TRANSCRIPT = re.compile(r"(?:<s> )?(.*?)(?: </s>)? \(([^()]+)\)")


def find_archive() -> Path:
    """The archive inside the installed ESPnet package."""
    try:
        archive = Path(str(metadata.distribution("espnet").locate_file(_ARCHIVE)))
    except metadata.PackageNotFoundError as error:
        raise BadInputError(
            "espnet is not installed; install espnet 202611, or give the archive as --archive"
        ) from error
    if not archive.is_file():
        raise BadInputError(f"{archive}: this ESPnet has no such file; install espnet 202611, or give --archive")
    return archive


def prepare(data_dir: Path, downloads: Path, archive: Path | None) -> None:
    """Write ``train_nodev`` (all training utterances but one), ``train_dev`` (that one) and ``test``.

    Args:
        data_dir: where the sets go.
        downloads: gets the unpacked archive.
        archive: the archive, or None for the one inside ESPnet.
    """
    unpacked = downloads / "mini_an4"
    extract_tar(archive if archive is not None else find_archive(), unpacked)
    root = unpacked / "downloads/an4"
    train, test = _read_set(root, "train"), _read_set(root, "test")
    first = train.utterances[0]
    sets = {"train_nodev": train.subset(train.utterances[1:]), "train_dev": train.subset([first]), "test": test}
    for name, data in sets.items():
        write_data_dir(data_dir / name, data)
        print(f"{data_dir / name}: {len(data.utt2spk)} utterances")


def _read_set(root: Path, name: str) -> DataDir:
    """One of AN4's own two sets. File ids are ``<folder>/<speaker>/<file>``; transcripts end in ``(<file>)``."""
    transcripts = {}
    path = root / f"etc/an4_{name}.transcription"
    for number, line in enumerate(read_lines(path), 1):
        match = _TRANSCRIPT.fullmatch(line.strip())
        if match is None:
            raise BadInputError(
                f"{path}:{number}: expected 'WORDS (file)', found {line!r}; delete the folder and run again"
            )
        transcripts[match.group(2)] = match.group(1).lower()
    data = DataDir({}, {}, None, {"text": {}})
    for file_id in read_lines(root / f"etc/an4_{name}.fileids"):
        _, speaker, file = file_id.strip().split("/")
        if file not in transcripts:
            raise BadInputError(f"{path}: no transcript of {file}; delete the folder and run again")
        utterance = f"{speaker}-{file}"
        data.recordings[utterance] = str((root / "wav" / f"{file_id.strip()}.sph").absolute())
        data.utt2spk[utterance] = speaker
        data.companions["text"][utterance] = transcripts[file]
    return data
