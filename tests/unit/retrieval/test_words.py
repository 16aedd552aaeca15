from __future__ import annotations

import hashlib

import pytest

from secondpass.retrieval.words import ANALYSER_VERSION, MAX_TERM_CHARACTERS, terms
from secondpass.types import Passage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat's 2nd e-mail_address!", ["the", "cat", "s", "2nd", "e", "mail", "address"]),
        ("ＡＢＣ １２３ ﬁne", ["abc", "123", "fine"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("3.14 x² 10⁄3", ["3", "14", "x2", "10", "3"]),
        ("co\u00adoperate zero\u200bwidth", ["cooperate", "zero", "width"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("مَكتَب", ["مَكتَب"]),
        ("😀 👩\u200d🔬 1\ufe0f\u20e3", ["1"]),
        ("\ud800a\udfff", ["a"]),
        ("a\0b", ["a", "b"]),
        ("", []),
        ("  ，。!?", []),
    ],
)
def test_words_are_runs_of_letters_and_digits(text, expected):
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("北京市", ["北", "北京", "京", "京市", "市"]),
        ("iPhone手机15", ["iphone", "手", "手机", "机", "15"]),
        ("ｶﾞｽ", ["ガ", "ガス", "ス"]),
        ("コーヒー・豆", ["コ", "コー", "ー", "ーヒ", "ヒ", "ヒー", "ー", "豆"]),
        ("한국은", ["한", "한국", "국", "국은", "은"]),
        ("人々", ["人", "人々", "々"]),
        ("ไทย", ["ไ", "ไท", "ท", "ทย", "ย"]),
        ("\U00020000\U00031350", ["\U00020000", "\U00020000\U00031350", "\U00031350"]),
    ],
)
def test_scripts_without_blanks_give_characters_and_pairs(text, expected):
    assert terms(text) == expected


def test_a_long_run_is_cut():
    assert terms("x" * 100_000 + " y") == ["x" * MAX_TERM_CHARACTERS, "y"]
    assert terms("é" * 100_000) == ["é" * MAX_TERM_CHARACTERS]


def test_ascii_and_other_texts_are_analysed_alike():
    text = "Hello, World_42 foo-bar\tBAZ x" + "y" * 200
    assert terms(text + " é") == [*terms(text), "é"]


def test_the_version_goes_with_what_is_indexed():
    # Where this fails, terms or contexts have changed: raise the version, then its digest here.
    text = "Café-Haus №5: 北京大学 ﾃｽﾄ 한국어 हिन्दी ภาษาไทย naïve_Straße x² " * 5
    passages = [
        Passage("p", text, "d", title="A title", headings=("First", "Second")),
        Passage("p", f"Second part {text}", "d", title="part", headings=("Second", "第三")),
    ]
    indexed = " ".join(term for passage in passages for term in terms(passage.text_in_context))
    digest = hashlib.sha256(indexed.encode()).hexdigest()[:16]
    assert (ANALYSER_VERSION, digest) == (1, "5c333fd0425c93b2")
