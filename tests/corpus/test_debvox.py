from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import soundfile
from corpus_signals import tone
from hypothesis import given
from hypothesis import strategies as st

from espnet2_birq.corpus import debvox
from espnet2_birq.corpus.data_dir import DataDir, validate_data_dir
from espnet2_birq.corpus.debvox import Utterance, nested_subset, split_of
from espnet2_birq.corpus.debvox_sources import LANGUAGES, PACKAGES, Clip, packages_of, read_clips, read_prompts
from espnet2_birq.errors import BadInputError

Run = Callable[..., tuple[int, str, str]]

PROMPTS = [f"prompt-{number}" for number in range(60)] + ["digits/7", "silence/1", "beep"]
VOICES = {"en": "en_US_f_Allison", "fr": "fr_CA_f_June"}
LEVELS = [f"{name}{number}" for name in ("cabin", "party", "reef", "wreck", "tank", "ufo") for number in (1, 2)]


def write_asterisk(root: Path, language: str) -> None:
    """Unpacked Asterisk packages: 20 s of G.722 a prompt (any bytes will do), texts with the corpus's oddities."""
    sounds = root / f"asterisk-core-sounds-{language}-g722/usr/share/asterisk/sounds/{VOICES[language]}"
    lines = [
        "; a comment",
        "",
        "digits/7: seven",
        "digits/7: twice",
        "beep: [beep]",
        "silence/1: (silence)",
        "unrecorded: x",
    ]
    for prompt in PROMPTS:
        path = sounds / f"{prompt}.g722"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(160000))
        if prompt.startswith("prompt-") and prompt != "prompt-9":
            lines.append(
                f"{prompt}: Text of {language}: {chr(97 + int(prompt[7:]) // 26)}{chr(97 + int(prompt[7:]) % 26)}."
            )
    (sounds / "empty.g722").write_bytes(b"")
    folder = root / f"asterisk-core-sounds-{language}/usr/share/doc/asterisk-core-sounds-{language}"
    folder.mkdir(parents=True)
    (folder / f"core-sounds-{language}.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode("utf-8-sig")))


def write_fillets(root: Path, language: str) -> None:
    """Unpacked Fish Fillets packages: four lines a level, one of them broken over two lines of Lua."""
    game = root / "fillets-ng-data/usr/share/games/fillets-ng"
    sounds = root / f"fillets-ng-data-{language}/usr/share/games/fillets-ng/sound"
    for level in [*LEVELS, "share/blackjokes"]:
        shared = level == "share/blackjokes"
        script = game / "script" / ("share/black_dialogs_" if shared else f"{level}/dialogs_")
        script.parent.mkdir(parents=True, exist_ok=True)
        word = "".join(chr(97 + ord(character) % 26) for character in level)
        Path(f"{script}{language}.lua").write_text(
            f'dialogId("one-m", "font_small", "English")\ndialogStr("Jedna {word}!")\n\n'
            f'dialogId("two-v", "font_big", "He said \\"yes\\"")\ndialogStr("Dva \\"{word}\\"")\n'
            f'dialogId("three-v", "font_big", "English")\ndialogStr(\n"Tři {word}")\n'
            'dialogId("same-m", "font_small", "What?")\ndialogStr("Co?")\n'
        )
        folder = sounds / level / language
        folder.mkdir(parents=True)
        for name in ("one-m", "two-v", "three-v", "same-m", "untold"):
            soundfile.write(folder / f"{name}.ogg", tone(0.2, 22050), 22050)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages in the layout of the real ones, of another version."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    root = tmp_path_factory.mktemp("trees")
    for language in VOICES:
        write_asterisk(root, language)
    write_fillets(root, "cs")
    folder = tmp_path_factory.mktemp("mirror")
    for tree in root.iterdir():
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text(
            f"Package: {tree.name}\nVersion: 0.1\nArchitecture: all\nMaintainer: N <n@localhost>\nDescription: test\n"
        )
        command = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, folder / f"{tree.name}_0.1_all.deb"]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def prepare(mirror: Path, root: Path, *languages: str) -> dict[str, DataDir]:
    debvox.prepare(root / "data", root / "downloads", mirror, languages)
    return {path.name: validate_data_dir(path, text="ssl" not in path.name) for path in (root / "data").glob("*/")}


@pytest.fixture(scope="module")
def sets(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, DataDir]:
    return prepare(mirror, tmp_path_factory.mktemp("prepared"), "en", "fr", "cs")


def stems(data: DataDir) -> set[str]:
    """What was said, without the language: prompt, or level and line."""
    return {utterance.split("-", 2)[2] for utterance in data.utt2spk}


def test_the_command_writes_all_sets_and_says_how_long_they_are(mirror: Path, run: Run, tmp_path: Path) -> None:
    arguments = ("--data_dir", tmp_path / "data", "--downloads", tmp_path / "downloads", "--mirror", mirror)
    status, output, error = run("birq_debvox", *arguments, "--langs", "en", "cs")
    assert status == 0
    names = ["train_ssl", "valid_ssl", "train_en_all", "train_en_10min", "valid_en", "test_en"]
    names += ["train_cs_all", "valid_cs", "test_cs"]
    lines = output.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"{tmp_path}/data/{name}" for name in names]
    assert all(line.endswith(" h") for line in lines[:-1])
    assert "left_out.tsv: not in the transcribed sets: " in lines[-1]
    assert error.count("\n") == error.count("warning: ") == 4  # one for each package of another version
    assert run("birq_format", "--data_dir", tmp_path / "data/test_cs", "--out_dir", tmp_path / "dump")[0] == 0


def test_preparing_again_elsewhere_gives_the_same_sets(
    mirror: Path, sets: Mapping[str, DataDir], tmp_path: Path
) -> None:
    again = prepare(mirror, tmp_path, "en", "fr", "cs")
    assert again.keys() == sets.keys()
    for name, data in sets.items():
        assert again[name].utt2spk == data.utt2spk
        assert again[name].text == data.text


def test_splits_do_not_move_when_a_language_is_left_out(
    mirror: Path, sets: Mapping[str, DataDir], tmp_path: Path
) -> None:
    alone = prepare(mirror, tmp_path, "fr")
    for name in ("train_fr_all", "train_fr_10min", "valid_fr", "test_fr"):
        assert alone[name].utt2spk == sets[name].utt2spk


def test_no_prompt_or_level_is_in_two_splits_in_any_language(sets: Mapping[str, DataDir]) -> None:
    train = stems(sets["train_ssl"])
    valid = stems(sets["valid_ssl"])
    test = stems(sets["test_en"]) | stems(sets["test_fr"]) | stems(sets["test_cs"])
    assert all((train, valid, test))
    assert not any((train & valid, train & test, valid & test))
    assert stems(sets["test_en"]) == stems(sets["test_fr"])

    def levels(names: set[str]) -> set[str]:
        return {name.split("-")[0].rstrip("0123456789") for name in names}

    held_out = levels(stems(sets["test_cs"]) | stems(sets["valid_cs"]))
    assert not held_out & levels({name for name in train if name.split("-")[0] in LEVELS})


def test_utterance_ids_are_unique_and_speakers_consistent_over_languages(sets: Mapping[str, DataDir]) -> None:
    speakers: dict[str, str] = {}
    for data in sets.values():
        for utterance, speaker in data.utt2spk.items():
            assert speakers.setdefault(utterance, speaker) == speaker
            assert utterance.startswith(f"{speaker}-")
            assert data.companions["utt2lang"][utterance] == speaker[:2]


def test_subsets_are_nested_and_as_long_as_they_say(sets: Mapping[str, DataDir]) -> None:
    part, whole = sets["train_en_10min"], sets["train_en_all"]
    assert part.utt2spk.items() < whole.utt2spk.items()
    assert len(part.utt2spk) == 30  # 20 s each
    assert "train_en_1h" not in sets
    assert "train_cs_10min" not in sets


def test_transcripts_are_normalised_and_the_first_of_two_counts(sets: Mapping[str, DataDir]) -> None:
    texts = {name: text for data in sets.values() for name, text in (data.text or {}).items()}
    assert texts["en-allison-digits_7"] == "seven"
    assert texts["en-allison-prompt-0"] == "text of en aa"
    word = "".join(chr(97 + ord(character) % 26) for character in "reef1")
    assert texts["cs-big-reef1-two-v"] == f"dva {word}"
    assert texts["cs-big-reef1-three-v"].startswith("tři ")
    assert "cs-small-share_blackjokes-one-m" in texts


def test_what_has_no_transcript_serves_pretraining_only_and_silence_nothing(
    sets: Mapping[str, DataDir], mirror: Path, tmp_path: Path
) -> None:
    prepare(mirror, tmp_path, "en", "fr", "cs")
    rows = [line.split("\t") for line in (tmp_path / "data/left_out.tsv").read_text().splitlines()]
    reasons = dict(rows)
    assert reasons["en-allison-prompt-9"] == "no text"
    assert reasons["en-allison-beep"] == "not speech"
    assert reasons["en-allison-silence_1"] == "silence"
    assert reasons["fr-june-empty"] == "no audio"
    assert reasons["cs-other-reef1-untold"] == "no text"
    anywhere = {name for data in sets.values() for name in data.utt2spk}
    transcribed = {name for set_name, data in sets.items() if "ssl" not in set_name for name in data.utt2spk}
    assert not transcribed & set(reasons)
    assert not anywhere & {name for name, reason in rows if reason in ("silence", "no audio")}


def test_no_sentence_of_validation_or_test_is_in_the_training_set_of_its_language(sets: Mapping[str, DataDir]) -> None:
    held_out = {*(sets["valid_cs"].text or {}).values(), *(sets["test_cs"].text or {}).values()}
    assert "co" in held_out
    assert not held_out & set((sets["train_cs_all"].text or {}).values())
    assert any(name.endswith("same-m") for name in sets["train_ssl"].utt2spk)


@given(st.sampled_from(["asterisk", "fillets"]), st.text(min_size=1, max_size=20))
def test_a_split_depends_on_nothing_but_the_group(kind: str, name: str) -> None:
    assert split_of(f"{kind}:{name}") == split_of(f"{kind}:{name}")


def test_splits_are_those_that_results_were_published_with() -> None:
    groups = ["asterisk:vm-intro", "asterisk:beep", "asterisk:digits/7", "fillets:cabin", "fillets:reef", "fillets:ufo"]
    assert [split_of(group) for group in groups] == ["train", "valid", "train", "test", "valid", "test"]
    shares = [split_of(f"asterisk:{number}") for number in range(2000)]
    assert shares.count("test") / 2000 == pytest.approx(0.14, abs=0.02)
    assert shares.count("valid") / 2000 == pytest.approx(0.07, abs=0.02)


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=4), st.floats(0.1, 9), min_size=1),
    st.floats(0, 50),
    st.floats(0, 50),
)
def test_a_shorter_subset_is_part_of_a_longer_one(lengths: dict[str, float], one: float, other: float) -> None:
    utterances = [Utterance(Clip(n, "s", "en", Path(n), "x", n), "x", "", s) for n, s in lengths.items()]
    short, long = sorted((nested_subset(utterances, one), nested_subset(utterances, other)), key=len)
    assert long[: len(short)] == short
    assert sum(utterance.seconds for utterance in nested_subset(utterances, one)) <= one
    assert nested_subset(reversed(utterances), one) == nested_subset(utterances, one)


def test_each_language_needs_its_packages_only() -> None:
    assert [package.name for package in packages_of(("it",))] == [
        "asterisk-core-sounds-it-g722",
        "asterisk-core-sounds-it",
    ]
    assert [package.name for package in packages_of(("nl",))] == ["fillets-ng-data-nl", "fillets-ng-data"]
    assert packages_of(LANGUAGES) == list(PACKAGES)
    assert len(PACKAGES) == 13


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(BadInputError, match="language 'xx' is not in DebVox; choose from en es fr it ru cs nl"):
        packages_of(("xx",))


def test_missing_audio_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "asterisk-core-sounds-en/usr/share/doc/asterisk-core-sounds-en").mkdir(parents=True)
    texts = tmp_path / "asterisk-core-sounds-en/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    texts.write_bytes(gzip.compress(b"a: b\n"))
    with pytest.raises(BadInputError, match="no audio for language 'en'"):
        read_clips("en", tmp_path)


def test_damaged_prompt_texts_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "texts.gz").write_bytes(gzip.compress(b"a: b\n")[:-5])
    with pytest.raises(BadInputError, match="texts.gz: cannot be read"):
        read_prompts(tmp_path / "texts.gz")


def test_a_prompt_that_repeats_its_name_in_the_text_loses_it(tmp_path: Path) -> None:
    (tmp_path / "texts.gz").write_bytes(gzip.compress("conf-menu: conf-menu: Нажмите".encode()))
    assert read_prompts(tmp_path / "texts.gz") == {"conf-menu": "Нажмите"}
