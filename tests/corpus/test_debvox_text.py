from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_birq.corpus.debvox_text import LETTERS, NoTranscriptError, normalise


@pytest.mark.parametrize(
    ("language", "text", "transcript"),
    [
        ("en", "Press 1 for voice-mail, or 2...", "press one for voice mail or two"),
        ("en", "You don't say!", "you don't say"),
        ("en", "'quoted' words'", "quoted words"),
        ("en", "dash [-]", "dash"),
        ("en", "space [ ]", "space"),
        ("es", "Número  de extensión, señor", "numero de extension señor"),
        ("es", "marque 0", "marque cero"),
        ("fr", "Composez le numéro d’agent.", "composez le numéro d'agent"),
        ("fr", "Appuyez sur 1.", "appuyez sur un"),
        ("it", "Premere 3, più 9!", "premere tre più nove"),
        ("ru", "Нажмите решётку «1»…", "нажмите решетку один"),
        ("cs", "Buď ráda – jak by ses jinak dostala ven?", "buď ráda jak by ses jinak dostala ven"),
        ("cs", "Chceš-li vědět, kolik je 8?", "chceš li vědět kolik je osm"),
        ("nl", "Zo'n idée-fixe", "zo'n idée fixe"),
        ("cs", unicodedata.normalize("NFD", "Ještě nejsi"), "ještě nejsi"),
    ],
)
def test_transcripts_are_what_is_said(language: str, text: str, transcript: str) -> None:
    assert normalise(text, language) == transcript


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        ("en", "[this is a simple beep tone]", "not speech"),
        ("en", "(1 second of silence)", "not speech"),
        ("en", "<beep ascending>", "not speech"),
        ("en", "...", "not speech"),
        ("en", "", "not speech"),
        ("en", 'IAX (note: does not say "2")', "remark in brackets"),
        ("it", "Il [suo] messaggio", "remark in brackets"),
        ("en", "at least a 28.8 kilobit modem", "number"),
        ("en", "extension 1234", "number"),
        ("en", "H.323", "number"),
        ("cs", "LC-10 Lemura", "number"),
        ("cs", "Stiskni F1", "number"),
        ("cs", "Konkrétně %1 hodin", "number"),
        ("nl", "mplayer rybky01.ogg", "number"),
        ("en", "press * to pause", "symbol"),
        ("ru", "включить / выключить", "symbol"),
        ("cs", "adresář C:\\WINDOWS", "symbol"),
        ("ru", "сервер Asterisk", "letter of another language"),
        ("cs", "Привет", "letter of another language"),
    ],
)
def test_what_does_not_say_how_it_was_read_has_no_transcript(language: str, text: str, reason: str) -> None:
    with pytest.raises(NoTranscriptError, match=f"^{reason}$"):
        normalise(text, language)


@given(st.sampled_from(sorted(LETTERS)), st.text(max_size=40))
def test_a_transcript_has_only_letters_apostrophes_and_single_blanks(language: str, text: str) -> None:
    try:
        transcript = normalise(text, language)
    except NoTranscriptError:
        return
    assert transcript
    assert set(transcript) <= LETTERS[language] | {" ", "'"}
    assert transcript == " ".join(transcript.split())
    assert normalise(transcript, language) == transcript
