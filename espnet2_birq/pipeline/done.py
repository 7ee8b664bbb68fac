"""Finished steps of the pipeline, and whether they still stand.

A step is finished when ``<folder>/<stage>.<hash>`` exists, where the hash covers the options and inputs that the step
depends on, and all its outputs exist. So the same step may be finished for several settings at once, as long as these
write to different places: a marker that claims the same outputs as a step about to run is removed first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet2_birq.corpus.tables import write_text_atomically
from espnet2_birq.errors import BadInputError
from espnet2_birq.pipeline.fingerprint import fingerprint_path, fingerprint_scp


@dataclass(frozen=True)
class Step:
    """What a step depends on and what it makes.

    Args:
        stage: number of the stage, as text.
        options: ``key=value`` of every option that changes the outcome.
        inputs: files or folders that are read.
        scps: ``wav.scp`` files that are read, with the audio that they name.
        outputs: files that the step leaves.
        output_scps: ``wav.scp`` files that the step leaves, with the audio that they name.
    """

    stage: str
    options: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    scps: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    output_scps: tuple[Path, ...] = ()

    def state(self) -> dict[str, dict[str, str]]:
        """Options and fingerprints of the inputs as they are now.

        Raises:
            BadInputError: naming the first input that does not exist.
        """
        for path in (*self.inputs, *self.scps):
            if not path.exists():
                raise BadInputError(
                    f"stage {self.stage} needs {path}, which does not exist: run the earlier stages first"
                )
        options = dict(option.partition("=")[::2] for option in self.options)
        inputs = {str(path): fingerprint_path(path) for path in self.inputs}
        inputs |= {str(path): fingerprint_scp(path) for path in self.scps}
        return {
            "options": options,
            "inputs": inputs,
            "outputs": {str(path): "" for path in (*self.outputs, *self.output_scps)},
        }

    def missing(self) -> Path | None:
        """The first output that does not exist."""
        for path in (*self.outputs, *self.output_scps):
            if not path.exists():
                return path
        for path in self.output_scps:
            for line in path.read_text(encoding="utf-8").splitlines():
                audio = Path(line.partition(" ")[2].strip())
                if not audio.exists():
                    return audio
        return None


def state_hash(state: dict[str, dict[str, str]]) -> str:
    """Ten hexadecimal digits that stand for ``state``."""
    return hashlib.blake2b(json.dumps(state, sort_keys=True).encode(), digest_size=5).hexdigest()


def describe_changes(old: dict[str, dict[str, str]], new: dict[str, dict[str, str]]) -> str:
    """What differs between two states, in words: ``conf/train.yaml changed; option nbpe was '30' and is '50'``."""
    changes = []
    for name in sorted(old["inputs"].keys() | new["inputs"].keys()):
        if name not in old["inputs"]:
            changes.append(f"{name} is a new input")
        elif name not in new["inputs"]:
            changes.append(f"{name} is no input any more")
        elif old["inputs"][name] != new["inputs"][name]:
            changes.append(f"{name} changed")
    for name in sorted(old["options"].keys() | new["options"].keys()):
        before, after = (state["options"].get(name, "") for state in (old, new))
        if before != after:
            changes.append(f"option {name} was '{before}' and is '{after}'")
    return summary(changes)


def summary(changes: Sequence[str]) -> str:
    """The first three changes, and how many more there are."""
    more = [f"and {len(changes) - 3} more"] if len(changes) > 3 else []
    return "; ".join([*changes[:3], *more])


def write_json(path: Path, content: dict) -> None:
    """Write ``content`` to ``path`` as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _rival_markers(folder: Path, stage: str, outputs: set[str]) -> list[tuple[Path, dict]]:
    """Markers of this stage that claim one of ``outputs``, newest last."""
    rivals = []
    for marker in folder.glob(f"{stage}.*"):
        content = json.loads(marker.read_text(encoding="utf-8"))
        if outputs & content["outputs"].keys():
            rivals.append((marker, content))
    return sorted(rivals, key=lambda rival: rival[0].stat().st_mtime_ns)


@dataclass(frozen=True)
class Verdict:
    """Whether a step is finished (``done``), the ``key`` of its state, and why it has to run when it has to."""

    done: bool
    key: str
    reason: str


def begin(folder: Path, step: Step) -> Verdict:
    """Decide whether ``step`` has to run, and if so withdraw every marker that its run makes untrue."""
    state = step.state()
    key = state_hash(state)
    marker = folder / f"{step.stage}.{key}"
    missing = step.missing()
    if marker.exists() and missing is None:
        return Verdict(True, key, "")
    rivals = _rival_markers(folder, step.stage, set(state["outputs"]))
    reason = ""
    if marker.exists():
        reason = f"{missing} is gone"
    elif rivals:
        reason = describe_changes(rivals[-1][1], state)
    for rival, _ in rivals:
        rival.unlink()
    marker.unlink(missing_ok=True)
    return Verdict(False, key, reason)


def end(folder: Path, step: Step, key: str) -> None:
    """Mark ``step``, begun with ``key``, as finished.

    Raises:
        BadInputError: if an output was not made, or an input changed while the step ran.
    """
    if (missing := step.missing()) is not None:
        raise BadInputError(f"stage {step.stage} ended without making {missing}: see its log")
    state = step.state()
    if state_hash(state) != key:
        raise BadInputError(f"an input of stage {step.stage} changed while it ran: run the stage again")
    write_json(folder / f"{step.stage}.{key}", state)
