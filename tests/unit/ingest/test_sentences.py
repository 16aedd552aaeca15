from __future__ import annotations

import pytest

from secondpass.ingest.sentences import PARAGRAPH, SECTION, SENTENCE, last_break, sentences


def sentences_of(text):
    return [text[start:end] for start, end, _ in sentences(text, 0, len(text))]


@pytest.mark.parametrize(
    "expected",
    [
        ["One.", "Two!", "Three?", "Four"],
        ["It grew by 5.2% to 4.4.", "Then it fell."],
        ["The U.S. Senate met, e.g. on Monday.", "Mr. Smith, Dr. Jones et al. came."],
        ["He said “stop.”", "(She did not.)", "“Why?” he asked."],
        ["Wait... what?", "Version 2.0.1 is out."],
        ["It was so.[12]", "Others differ.", "**Bold end.**", "Next."],
        ["See www.example.com or a.b.c for more."],
        ["Is it so?!", "Yes."],
    ],
)
def test_latin_sentences(expected):
    assert sentences_of(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["今天很好。", "明天呢？", "不知道！", "也许……", "再说"],
        ["他说：“你好。”", "她走了；", "（完。）", "增长5.2%、约4.4万亿元。"],
        ["真的？！", "是的。"],
    ],
)
def test_chinese_sentences(expected):
    assert sentences_of("".join(expected)) == expected


def test_the_number_of_an_item_is_no_sentence():
    assert sentences_of("Steps:\n1. Install it.\n   2. Run it. In 1. Then") == [
        "Steps:\n1. Install it.",
        "2. Run it.",
        "In 1.",
        "Then",
    ]


def test_how_good_the_ends_are():
    text = "One. Two.\nThree.\n\nfour\n \n五。\n六。七。"

    assert [(text[a:b], strength) for a, b, strength in sentences(text, 0, len(text))] == [
        ("One.", SENTENCE),
        ("Two.", SENTENCE),
        ("Three.", PARAGRAPH),
        ("four", PARAGRAPH),
        ("五。", PARAGRAPH),
        ("六。", SENTENCE),
        ("七。", SECTION),
    ]


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("two words", 6, 4),
        ("two words", 9, 9),
        ("中文分词", 3, 3),
        ("unbreakable", 5, 5),
        ("xxcafe\u0301", 6, 5),
        ("ab\U0001f468\u200d\U0001f469\u200d\U0001f467", 4, 2),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467x", 1, 5),
        ("e" + "\u0301" * 50, 3, 8),
    ],
)
def test_the_last_break_is_between_words_or_else_between_characters(text, end, expected):
    assert last_break(text, 0, end) == expected


def test_ascii_marks_end_a_sentence_between_ideographs():
    text = "你好!世界.再见？是的."

    assert [text[start:end] for start, end, _ in sentences(text, 0, len(text))] == [
        "你好!",
        "世界.",
        "再见？",
        "是的.",
    ]
