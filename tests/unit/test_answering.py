"""What a model is told, and which passages its answer cites."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.answering import Citations, answer_messages, citations
from secondpass.errors import InvalidInput
from secondpass.types import Passage

PASSAGES = [
    Passage("1", "Bamboo.", "d", title="Food", headings=("Pandas",)),
    Passage("2", "大熊猫吃竹子。", "e"),
]


@pytest.mark.parametrize(
    ("query", "instructed", "asked"),
    [
        ("What do pandas eat?", "cite the passages", "Question: What do pandas eat?"),
        ("大熊猫吃什么？", "注明出自哪些段落", "问题：大熊猫吃什么？"),
    ],
)
def test_passages_are_numbered_under_their_context(query, instructed, asked):
    system, user = answer_messages(query, PASSAGES)

    assert (system.role, user.role) == ("system", "user")
    assert instructed in system.content
    assert "[1] Food\nPandas\nBamboo.\n\n[2] 大熊猫吃竹子。\n\n" in user.content
    assert user.content.endswith(asked)


def test_without_passages_nothing_is_asked():
    with pytest.raises(InvalidInput, match="no passages"):
        answer_messages("why?", [])


@pytest.mark.parametrize(
    ("text", "known", "unknown"),
    [
        ("Bamboo [1]. And [3][2].", (1, 2, 3), ()),
        ("Both [1, 3] and 【2】, and [ 2、3 ].", (1, 2, 3), ()),
        ("All of it [1-3].", (1, 2, 3), ()),
        ("A list[0], a year [2024], [4].", (), (0, 4, 2024)),
        ("In 1 of [a] and [] and [1", (), ()),
        ("[99999999999999999999]", (), ()),
        ("", (), ()),
    ],
)
def test_citations(text, known, unknown):
    assert citations(text, 3) == Citations(known, unknown)


@given(numbers=st.lists(st.integers(0, 30)), words=st.text("ab ,.(-)\n竹", max_size=5))
def test_whatever_stands_between_every_citation_is_found(numbers, words):
    found = citations(words.join(f"[{number}]" for number in numbers), 9)

    assert set(found.known) == {number for number in numbers if 1 <= number <= 9}
    assert set(found.unknown) == set(numbers) - set(found.known)
