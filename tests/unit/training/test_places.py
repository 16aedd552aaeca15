"""Where right texts stand in an index, held against a search that compares all with all."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.retrieval.index import Index
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.training.places import RUN, Places, letters, run_hashes
from secondpass.types import Passage


def index_of(passages: list[Passage]) -> Index:
    index = Index(MemoryStore())
    index.add(passages)
    return index


def passages_of(*texts: str, title: str = "") -> list[Passage]:
    return [Passage(f"p{at}", text, f"d{at}", title=title) for at, text in enumerate(texts)]


def normal(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKC", text).casefold() if one.strip())


# Two words of many letters, so that texts often hold one another.
PIECES = st.lists(st.sampled_from(["abcdefgh ijkl", "ABCDEFGH mnop", "大熊猫吃", "\n"]), min_size=1)
TEXTS = st.lists(PIECES.map(" ".join).filter(str.strip), min_size=1, max_size=6)


@given(rights=TEXTS, texts=TEXTS)
def test_it_finds_what_comparing_all_with_all_finds(rights, texts):
    places = Places.find(rights, index_of(passages_of(*texts)))

    for right in rights:
        whole = normal(right)
        expected = {}
        for at, text in enumerate(texts):
            part = normal(text)
            long = min(len(whole), len(part)) >= RUN
            if whole == part or (long and (whole in part or part in whole)):
                expected[f"p{at}"] = f"d{at}"
        place = places.by_text[right]
        assert place.passages == expected
        equal = [at for at, text in enumerate(texts) if normal(text) == whole]
        assert (place.equal.id if place.equal else None) == (f"p{equal[0]}" if equal else None)
    assert places.documents == {f"p{at}": f"d{at}" for at in range(len(texts))}


def test_a_title_counts_and_does_not_count():
    text = "The giant panda is a bear that lives in the mountains."
    index = index_of(passages_of(text, "Bamboo is a grass.", title="Animals of China"))

    places = Places.find([text, f"Animals of China\n{text}", f"{text} It eats bamboo."], index)

    found = list(places.by_text.values())
    assert [set(place.passages) for place in found] == [{"p0"}] * 3
    assert [place.equal and place.equal.id for place in found] == ["p0", "p0", None]


@pytest.mark.parametrize("count", [1, 300, 700])
def test_the_whole_index_is_read_and_that_is_told(count):
    index = index_of(passages_of(*(f"passage number {at} of this index" for at in range(count))))
    told = []

    places = Places.find([f"passage number {count - 1} of this index"], index, told.append)

    assert set(places.by_text.popitem()[1].passages) == {f"p{count - 1}"}
    assert len(places.documents) == count
    assert told == sorted(told)
    assert all(0 < number <= count for number in told)


def test_equal_runs_have_equal_hashes_wherever_they_stand():
    run = "0123456789abcdefghijklmn"
    hashes, owners = run_hashes(["xx" + run, "short", run + "大熊猫"])

    assert owners.tolist() == [0, 0, 0, 2, 2, 2, 2]
    assert hashes[2] == hashes[3]
    assert len(np.unique(hashes)) == 6


def test_letters_are_of_one_form():
    assert letters(" Ａ\u00a0b\n\tC ") == "abc"
