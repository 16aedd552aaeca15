"""Which words does a text hold? The analyser of the lexical leg, for passages and queries alike.

    text -> one normal form (NFKC, case folded) -> runs of letters and digits -> terms

A word of a script that writes blanks between its words is one term. Scripts that write none, and
Korean, whose particles cling to the words, give each character and each pair of neighbours:
pairs stand in for words without a dictionary, and single characters find what pairs miss.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

# An index keeps the version that made it, since its terms only match queries analysed alike, and
# are made again to be removed. Any change of what `terms` returns, or of what
# `Passage.text_in_context` puts together, needs a new number.
ANALYSER_VERSION = 1

# Longer runs are encoded data rather than words; their beginning stands for them.
MAX_TERM_CHARACTERS = 128

# Han, kana, bopomofo and Hangul; Thai, Lao, Burmese and Khmer. Planes 2 and 3 belong to Han as a
# whole, assigned or not yet, so that a newer Python finds the same terms.
_UNSPACED = (
    "\u3005-\u3007\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb"
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0ede\u1000-\u1049\u1050-\u109d\u1780-\u17d3"
)

# Soft hyphens, joiners and variation selectors stand inside words without being a part of them.
_INVISIBLE = re.compile("[\u00ad\u200c\u200d\u2060\ufe00-\ufe0f\ufeff]")

_ASCII_WORD = re.compile("[a-z0-9]+")


@cache
def _run() -> re.Pattern[str]:
    """Matches a run of unspaced characters (group 1) or a word, with the marks on its letters."""
    marks = "".join(
        chr(code)
        for code in range(0x300, 0x1F000)
        if unicodedata.category(chr(code)) in ("Mn", "Mc")
    )
    letter = rf"[^\W_{_UNSPACED}]"
    return re.compile(f"([{_UNSPACED}]+)|{letter}+(?:[{re.escape(marks)}]+{letter}*)*")


def _normal(text: str) -> str:
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    return unicodedata.normalize("NFKC", folded)


def _terms_of_any_script(text: str) -> Iterator[str]:
    for match in _run().finditer(_normal(text)):
        run = match[0]
        if match[1] is None:
            yield run[:MAX_TERM_CHARACTERS]
            continue
        for position, character in enumerate(run):
            yield character
            if position + 1 < len(run):
                yield run[position : position + 2]


def terms(text: str) -> list[str]:
    """The terms of `text` in order, repeats included.

    A term holds no blank, no ASCII capital and no ASCII sign, so full-text tokenizers that split
    at ASCII signs alone keep it whole.
    """
    if text.isascii():
        return [word[:MAX_TERM_CHARACTERS] for word in _ASCII_WORD.findall(text.lower())]
    return list(_terms_of_any_script(text))
