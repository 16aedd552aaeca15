from __future__ import annotations

import pytest

from secondpass.ingest.packing import CHARS, ESTIMATE, atoms, estimate_tokens, pack


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("one two", 2),
        ("internationalization", 4),
        ("中文分词", 4),
        ("한국어", 3),
        ("增长5.2%。", 7),
        ("don't", 3),
        ("naïve", 1),
    ],
)
def test_estimated_tokens(text, expected):
    assert estimate_tokens(text) == expected


def packed(text, size, overlap=0, ruler=ESTIMATE):
    groups = pack(atoms(text, [(0, len(text))], size, ruler), size, overlap)
    return [text[group[0].start : group[-1].end] for group in groups]


def test_sentences_fill_a_passage():
    assert packed("Aa bb cc. Dd ee ff. Gg hh ii. Jj kk ll.", 8) == [
        "Aa bb cc. Dd ee ff.",
        "Gg hh ii. Jj kk ll.",
    ]


def test_a_paragraph_end_in_the_second_half_is_preferred():
    text = "Aa aa aa aa aa aa.\n\nB bb bb. Cc cc cc. Dd dd dd. Ee ee ee. Ff ff ff. Gg gg gg."

    assert packed(text, 12)[0] == "Aa aa aa aa aa aa."


def test_a_tiny_rest_is_shared_with_its_neighbour():
    text = "Aa aa aa. Bb bb bb. Cc cc cc. Dd dd dd. Ee."

    assert packed(text, 16) == ["Aa aa aa. Bb bb bb.", "Cc cc cc. Dd dd dd. Ee."]


def test_whole_sentences_are_repeated():
    text = "Aa aa aa. Bb bb bb. Cc cc cc. Dd dd dd. Ee ee ee. Ff ff ff."

    assert packed(text, 12, overlap=5) == [
        "Aa aa aa. Bb bb bb. Cc cc cc.",
        "Cc cc cc. Dd dd dd. Ee ee ee.",
        "Ee ee ee. Ff ff ff.",
    ]


def test_a_sentence_larger_than_the_overlap_is_not_repeated():
    assert packed("Aa aa aa. Bb bb bb. Cc cc cc. Dd dd dd.", 8, overlap=3) == [
        "Aa aa aa. Bb bb bb.",
        "Cc cc cc. Dd dd dd.",
    ]


def test_a_long_sentence_is_cut_at_lines_then_clauses_then_words():
    lines = "alpha beta gamma delta\nepsilon zeta eta theta iota kappa"
    clauses = "alpha beta gamma delta, epsilon zeta eta theta iota kappa"
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa"

    assert packed(lines, 8)[0] == "alpha beta gamma delta"
    assert packed(clauses, 8)[0] == "alpha beta gamma delta,"
    assert " ".join(packed(words, 8)) == words
    assert all(len(piece) > 12 for piece in packed(words, 8))


def test_a_word_is_cut_only_if_it_is_larger_than_the_size():
    text = "one internationalization two internationalization three internationalization"
    word = "interdenominationalizations" * 4

    assert packed(text, 8) == [
        "one internationalization two",
        "internationalization three",
        "internationalization",
    ]
    assert "".join(packed(word, 8)) == word


def test_a_long_run_of_sentences_without_spaces_is_cut_between_them():
    text = "the first one is here.The second one is here.The third one is here"

    assert packed(text, 8) == [
        "the first one is here.",
        "The second one is here.",
        "The third one is here",
    ]


def test_characters_count_the_space_between():
    assert packed("Aaa. Bbb. Ccc.", 9, ruler=CHARS) == ["Aaa. Bbb.", "Ccc."]
    assert packed("Aaaaa. Bbbb. Ccc.", 10, ruler=CHARS) == ["Aaaaa.", "Bbbb. Ccc."]
