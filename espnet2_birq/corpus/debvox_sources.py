"""What the DebVox packages hold: audio files with speaker, text and the group that must stay in one split."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

from espnet2_birq.corpus.debian_packages import PinnedPackage
from espnet2_birq.errors import BadInputError

ASTERISK_LANGUAGES = ("en", "es", "fr", "it", "ru")
FILLETS_LANGUAGES = ("cs", "nl")
LANGUAGES = ASTERISK_LANGUAGES + FILLETS_LANGUAGES

_PINS = """
asterisk-core-sounds-en-g722 1.6.1-1 10565860 38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806
asterisk-core-sounds-en 1.6.1-1 22844 973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50
asterisk-core-sounds-es-g722 1.6.1-1 13048380 e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8
asterisk-core-sounds-es 1.6.1-1 22012 9afdab7f559f036649fb406e625899306ca1004df8ebe39c30bfbd5912d66f74
asterisk-core-sounds-fr-g722 1.6.1-1 10822860 7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0
asterisk-core-sounds-fr 1.6.1-1 23152 04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056
asterisk-core-sounds-it-g722 1.6.1-1 10087176 46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016
asterisk-core-sounds-it 1.6.1-1 23972 3884d9457e12f21caa018c18f0d587df5d53ebea14b673d8453a134c5941ab3b
asterisk-core-sounds-ru-g722 1.6.1-1 10579440 673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b
asterisk-core-sounds-ru 1.6.1-1 25592 28a61616bb0cd3345a7ea532dec4df9f071e5d0fa9f8c1a563ea9669002f39ab
fillets-ng-data-cs 1.0.1-1.1 39042172 3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14
fillets-ng-data-nl 1.0.1-1.1 32593580 afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10
fillets-ng-data 1.0.1-1.1 70633484 25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84
"""
PACKAGES = tuple(
    PinnedPackage(name, version, int(size), sha256)
    for name, version, size, sha256 in (line.split() for line in _PINS.split("\n") if line)
)

# Clips heard in every level are kept apart from the levels, and their texts are named a little differently.
_SHARED_SCRIPTS = {"share/blackjokes": "black", "share/borejokes": "bore", "share/border": "border"}
_LUA_STRING = r'"((?:[^"\\]|\\.)*)"'
_DIALOG = re.compile(
    rf'dialogId\(\s*"([^"]+)"\s*,\s*"([^"]*)"\s*,\s*{_LUA_STRING}\s*\)\s*dialogStr\(\s*{_LUA_STRING}\s*\)'
)


@dataclass(frozen=True)
class Clip:
    """One audio file.

    Attributes:
        utterance: id, unique over all languages: ``<speaker>-<name>``.
        speaker: ``<language>-<speaker>``.
        language: two-letter code.
        path: of the audio file.
        text: as written in the package, or None when there is none.
        group: clips of one group are never divided between splits (same prompt in all languages; same level).
    """

    utterance: str
    speaker: str
    language: str
    path: Path
    text: str | None
    group: str


def packages_of(languages: tuple[str, ...]) -> list[PinnedPackage]:
    """The packages that ``languages`` need."""
    wanted = set()
    for language in languages:
        if language in ASTERISK_LANGUAGES:
            wanted |= {f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-g722"}
        elif language in FILLETS_LANGUAGES:
            wanted |= {f"fillets-ng-data-{language}", "fillets-ng-data"}
        else:
            raise BadInputError(f"language {language!r} is not in DebVox; choose from {' '.join(LANGUAGES)}")
    return [package for package in PACKAGES if package.name in wanted]


def read_clips(language: str, unpacked: Path) -> list[Clip]:
    """All recorded prompts or dialogue lines of a language, in the order of their ids.

    Args:
        language: two-letter code.
        unpacked: folder with one folder per unpacked package.
    """
    clips = (
        _asterisk_clips(language, unpacked) if language in ASTERISK_LANGUAGES else _fillets_clips(language, unpacked)
    )
    if not clips:
        raise BadInputError(f"{unpacked}: no audio for language {language!r}; delete the folder and run again")
    by_name: dict[str, Clip] = {}
    for clip in clips:
        if clip.utterance in by_name:
            raise BadInputError(
                f"{clip.path}: utterance id {clip.utterance!r} is also that of {by_name[clip.utterance].path}"
            )
        by_name[clip.utterance] = clip
    return [by_name[name] for name in sorted(by_name)]


def read_prompts(path: Path) -> dict[str, str]:
    """Asterisk's ``core-sounds-<language>.txt.gz``: text by prompt; the first of two lines for a prompt counts."""
    try:
        content = gzip.decompress(path.read_bytes()).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); delete the unpacked package and run again") from error
    prompts: dict[str, str] = {}
    for line in content.splitlines():
        if line.startswith(";") or ":" not in line:
            continue
        name, text = line.split(":", 1)
        # One Russian line repeats its name inside the text.
        prompts.setdefault(name.strip(), text.strip().removeprefix(f"{name.strip()}:").strip())
    return prompts


def read_dialogs(path: Path) -> dict[str, tuple[str, str]]:
    """Fish Fillets' ``dialogs_<language>.lua``: (font, text) by dialogue id; the font stands for who speaks."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); delete the unpacked package and run again") from error
    return {name: (font, re.sub(r"\\(.)", r"\1", text)) for name, font, _, text in _DIALOG.findall(content)}


def _asterisk_clips(language: str, unpacked: Path) -> list[Clip]:
    sounds = unpacked / f"asterisk-core-sounds-{language}-g722" / "usr/share/asterisk/sounds"
    prompts = read_prompts(
        unpacked
        / f"asterisk-core-sounds-{language}/usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz"
    )
    clips = []
    for path in sorted(sounds.glob("*/**/*.g722")):
        voice, *parts = path.relative_to(sounds).with_suffix("").parts
        # en_US_f_Allison: the person's name comes last.
        speaker = f"{language}-{voice.rsplit('_', 1)[-1].lower()}"
        prompt = "/".join(parts)
        clips.append(
            Clip(f"{speaker}-{'_'.join(parts)}", speaker, language, path, prompts.get(prompt), f"asterisk:{prompt}")
        )
    return clips


def _fillets_clips(language: str, unpacked: Path) -> list[Clip]:
    sounds = unpacked / f"fillets-ng-data-{language}" / "usr/share/games/fillets-ng/sound"
    scripts = unpacked / "fillets-ng-data/usr/share/games/fillets-ng/script"
    clips = []
    for folder in sorted(sounds.glob(f"**/{language}")):
        level = folder.parent.relative_to(sounds).as_posix()
        shared = _SHARED_SCRIPTS.get(level)
        script = scripts / (f"share/{shared}_dialogs_{language}.lua" if shared else f"{level}/dialogs_{language}.lua")
        dialogs = read_dialogs(script) if script.is_file() else {}
        for path in sorted(folder.glob("*.ogg")):
            font, text = dialogs.get(path.stem, ("", None))
            speaker = f"{language}-{font.removeprefix('font_') or 'other'}"
            # Levels that only differ in a trailing number (cabin1, cabin2) share recordings.
            group = f"fillets:{level.rstrip('0123456789')}"
            name = f"{level.replace('/', '_')}-{path.stem}"
            clips.append(Clip(f"{speaker}-{name}", speaker, language, path, text, group))
    return clips
