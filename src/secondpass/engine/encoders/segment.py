"""How does a text become token ids, fast? By the native cutter where the tokenizer is one that it knows.

texts -> known characters (translate, NFKC) -> native Unigram -> ids;  anything else -> tokenizers

A Unigram tokenizer that splits at spaces, as those of XLM-R and multilingual-e5 do, is cut four
times as fast as by the tokenizers library; the ids are the same.
"""

from __future__ import annotations

import importlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.normalizers import NFKC

Ids = NDArray[np.int32]

SPACE = "\u2581"
DROPPED = 255
CLASS = re.compile(r"\[((?:\\x\{[0-9a-f]+\})+)\]")  # a class of characters by their numbers
COLLAPSE = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
WHITE = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)  # what Unicode calls white space, which Strip strips
# Characters whose NFKC is the same in every version of Unicode since 6, so that it does not matter
# that Python's tables and those of the tokenizers library are of different ones.
OLD = "\u0000-\u0587\u1e00-\u20be\u2100-\u2bff\u3000-\u32fe\u3300-\u9fef\uac00-\ud7a3\uf900-\ufa6d\uff00-\uffef"
NEWER = re.compile(f"[^{OLD}\U0001f300-\U0001f64f]")
LIBRARY_NFKC = NFKC()
STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}


class Segmenter(Protocol):
    """Cuts texts into tokens."""

    def ids(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """The ids of the texts end to end, without unknown ones, and how many each text has."""


class LibrarySegmenter:
    """Any tokenizer.json, by the tokenizers library; `unknown` is the id that is left out."""

    def __init__(self, tokenizer: Tokenizer, unknown: int | None) -> None:
        self._tokenizer = tokenizer
        self._unknown = unknown

    def ids(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """The ids of the texts end to end, without unknown ones, and how many each text has."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        rows = [np.array(one.ids, dtype=np.int32) for one in encodings]
        if self._unknown is not None:
            rows = [row[row != self._unknown] for row in rows]
        counts = np.array([len(row) for row in rows], dtype=np.int32)
        return np.concatenate([np.empty(0, dtype=np.int32), *rows]), counts


@dataclass(frozen=True, slots=True)
class Characters:
    """What a normaliser does to single characters before NFKC and after it, and to spaces.

    `ascii` has 128 bytes: what each ASCII character becomes, 255 where it is dropped.
    """

    before: Mapping[int, str]
    after: Mapping[int, str]
    ascii: bytes

    @classmethod
    def read(cls, normalizer: Mapping[str, Any]) -> Characters | None:
        """Of a normaliser in tokenizer.json; None where it does anything else beside NFKC."""
        steps = normalizer.get("normalizers", []) if normalizer["type"] == "Sequence" else []
        kinds = [step["type"] for step in steps]
        if kinds.count("NFKC") != 1 or STRIP not in steps or COLLAPSE not in steps:
            return None
        middle = kinds.index("NFKC")
        sides: tuple[dict[int, str], dict[int, str]] = ({}, {})
        for at, step in enumerate(steps):
            if at == middle or step in (STRIP, COLLAPSE):
                continue
            rule = _rule(step)
            if rule is None or sides[at > middle].keys() & rule.keys():
                return None
            sides[at > middle].update(rule)
        before, after = sides
        ascii = [before.get(code, chr(code)) for code in range(128)]
        if any(len(to) > 1 or to > "\x7f" for to in ascii) or any(code < 128 for code in after):
            return None
        if any(ascii[ord(white)] not in ("", " ") for white in WHITE if white < "\x80"):
            return None
        # A character that is dropped may stand between two that NFKC makes one.
        kept = {code: to for code, to in before.items() if code > 127 or not to}
        return cls(kept, after, bytes(ord(to) if to else DROPPED for to in ascii))

    def normalised(self, text: str) -> bytes:
        """The text in UTF-8; what happens to ASCII characters is left to the native cutter."""
        if text.isascii():
            return text.encode("ascii")
        text = _nfkc(_translated(text, self.before))
        return _translated(text, self.after).strip(WHITE).encode()


class Cutter(Protocol):
    """What is used of the native module's Unigram."""

    def encode(self, texts: list[bytes]) -> tuple[Ids, Ids]:
        """The ids of the texts end to end, without unknown ones, and how many each text has."""


class UnigramSegmenter:
    """A Unigram tokenizer in native code. Texts that spell a special token go to the library."""

    def __init__(
        self,
        native: Cutter,
        characters: Characters,
        specials: Sequence[str],
        other: LibrarySegmenter,
    ) -> None:
        self._native = native
        self._characters = characters
        self._special = re.compile("|".join(map(re.escape, specials)) or r"(?!)")
        self._other = other

    def ids(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """The ids of the texts end to end, without unknown ones, and how many each text has."""
        odd = [at for at, text in enumerate(texts) if self._special.search(text)]
        if not odd:
            return self._native.encode([self._characters.normalised(text) for text in texts])
        if len(odd) == len(texts):
            return self._other.ids(texts)
        plain = np.setdiff1d(np.arange(len(texts)), odd)
        cut = self._native.encode([self._characters.normalised(texts[at]) for at in plain])
        return _interleaved((plain, cut), (odd, self._other.ids([texts[at] for at in odd])))


def segmenter(tokenizer: Tokenizer, unknown: int | None) -> Segmenter:
    """The fastest segmenter for this tokenizer; `unknown` is the id to leave out."""
    library = LibrarySegmenter(tokenizer, unknown)
    kernels = native_kernels()
    facts = json.loads(tokenizer.to_str())
    model, splitter = facts["model"], facts["pre_tokenizer"]
    if kernels is None or model["type"] != "Unigram" or model.get("byte_fallback"):
        return library
    if unknown is None or unknown != model["unk_id"] or facts["normalizer"] is None:
        return library
    spaces = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    if splitter != spaces or any(one["normalized"] for one in facts["added_tokens"]):
        return library
    characters = Characters.read(facts["normalizer"])
    if characters is None:
        return library
    pieces, scores = zip(*model["vocab"], strict=True)
    native = kernels.Unigram(list(pieces), list(scores), unknown, characters.ascii)
    specials = [one["content"] for one in facts["added_tokens"]]
    return UnigramSegmenter(native, characters, specials, library)


def native_kernels() -> ModuleType | None:
    """The native module; None where the package was installed without a compiler."""
    try:
        return importlib.import_module("secondpass._native")
    except ModuleNotFoundError:
        return None


def _interleaved(
    *parts: tuple[Sequence[int] | NDArray[np.intp], tuple[Ids, Ids]],
) -> tuple[Ids, Ids]:
    """The ids of all texts in their order; each part has the places of its texts."""
    rows: dict[int, Ids] = {}
    for places, (ids, counts) in parts:
        rows |= zip(map(int, places), np.split(ids, np.cumsum(counts)[:-1]), strict=True)
    ordered = [rows[at] for at in range(len(rows))]
    counts = np.array([len(row) for row in ordered], dtype=np.int32)
    return np.concatenate([np.empty(0, dtype=np.int32), *ordered]), counts


def _nfkc(text: str) -> str:
    """As the tokenizers library has it, which takes seventy times as long as Python's own."""
    if NEWER.search(text):
        normalised: str = LIBRARY_NFKC.normalize_str(text)
        return normalised
    return unicodedata.normalize("NFKC", text)


def _translated(text: str, rules: Mapping[int, str]) -> str:
    # A search for each character is many times faster than one pass with a table.
    return text.translate(rules) if any(chr(code) in text for code in rules) else text


def _rule(step: Mapping[str, Any]) -> dict[int, str] | None:
    """What a Replace does to single characters; None where it is no such step."""
    if step["type"] != "Replace":
        return None
    pattern, to = step["pattern"], step["content"]
    if "String" in pattern:
        return {ord(pattern["String"]): to} if len(pattern["String"]) == 1 else None
    listed = CLASS.fullmatch(pattern.get("Regex", ""))
    if listed is None:
        return None
    return {int(code, 16): to for code in re.findall(r"[0-9a-f]+(?=\})", listed[1])}
