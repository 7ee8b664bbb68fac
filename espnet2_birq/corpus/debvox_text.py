"""DebVox's transcripts: what is said in an audio file, per language, or why that is not certain.

A wrong transcript costs more than a missing one: where the written text does not say how it was read (numbers of
several digits, symbols, foreign alphabets, stage directions in brackets), the utterance serves pretraining only.
"""

from __future__ import annotations

import re
import unicodedata

_LATIN = "abcdefghijklmnopqrstuvwxyz"
# The letters of a language's transcripts, after lower-casing, NFC and the folds below.
LETTERS = {
    "en": frozenset(_LATIN),
    "es": frozenset(_LATIN + "ñ"),
    "fr": frozenset(_LATIN + "àâæçèéêëîïôœùûüÿ"),
    "it": frozenset(_LATIN + "àèéìòù"),
    "ru": frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюя"),
    "cs": frozenset(_LATIN + "áčďéěíňóřšťúůýž"),
    "nl": frozenset(_LATIN + "àáâèéêëíïóôöúüç"),
}
# Spellings that the transcribers used side by side: the Spanish texts mostly leave out the accents of vowels, the
# Russian ones mostly write ё as е.
_FOLDS = {
    "es": str.maketrans("áéíóúü", "aeiouu"),
    "ru": str.maketrans("ё", "е"),
}
_DIGITS = {
    "en": "zero one two three four five six seven eight nine",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "ru": "ноль один два три четыре пять шесть семь восемь девять",
    "cs": "nula jedna dva tři čtyři pět šest sedm osm devět",
    "nl": "nul een twee drie vier vijf zes zeven acht negen",
}
# Said differently or not at all from case to case.
_UNCERTAIN_SYMBOLS = frozenset("*#@=$+%/\\&<>^_|~{}[]()")
_BRACKETED = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")
_APOSTROPHES = str.maketrans("’‘ʼ`´", "'''''")


class NoTranscriptError(Exception):
    """The text does not tell what is said; the message is the reason, in a few words."""


def normalise(text: str, language: str) -> str:
    """The words said: lower case, NFC, without punctuation, one blank between words.

    Apostrophes stay inside words (``don't``, ``l'appel``), hyphens become blanks, a digit on its own is spelled out.

    Raises:
        NoTranscriptError: nothing is said, or the text leaves open what is said.
    """
    letters = LETTERS[language]
    text = unicodedata.normalize("NFC", text).lower().translate(_APOSTROPHES).translate(_FOLDS.get(language, {}))
    spoken = _BRACKETED.sub(lambda match: " " if _has_letter(match.group()) else "", text)
    if not _has_letter(spoken) and not re.search(r"\d", spoken):
        raise NoTranscriptError("not speech")
    if any(_has_letter(match) for match in _BRACKETED.findall(text)):
        raise NoTranscriptError("remark in brackets")
    digits = _DIGITS[language].split()
    spoken = re.sub(r"(?<![\w.,:%-])\d(?![\w%]|[.,:]\w)", lambda match: digits[int(match.group())], spoken)
    if re.search(r"\d", spoken):
        raise NoTranscriptError("number")
    if any(character in _UNCERTAIN_SYMBOLS for character in spoken):
        raise NoTranscriptError("symbol")
    kept = "".join(c if c.isalpha() or c == "'" else " " for c in spoken)
    kept = re.sub(r"(?<![^\W\d_])'|'(?![^\W\d_])", " ", kept)
    foreign = sorted({character for character in kept if character not in letters and character not in " '"})
    if foreign:
        raise NoTranscriptError("letter of another language")
    return " ".join(kept.split())


def _has_letter(text: str) -> bool:
    return any(character.isalpha() for character in text)
