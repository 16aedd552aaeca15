"""What holds of the lexical leg for every text, filter and history."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.retrieval import Index, adding
from secondpass.retrieval.filters import clause, conditions, kind_of, passes
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.retrieval.words import terms
from secondpass.types import IndexedDocument, Passage, Range

# Characters that tokenizers treat apart: signs, marks, wide forms, unspaced scripts, surrogates.
TRICKY = 'aZ_é\u0301İßſ\u0130Σς9²½ﬁＡ＿カﾞー猫狗한ไ\u200d\u00ad\ufe0f😀\U0001e900\U00011f02\U00031350\ud800\0"* -'
texts = st.text(st.characters() | st.sampled_from(TRICKY))


@given(texts)
@settings(max_examples=300)
def test_the_full_text_table_keeps_every_term_whole(text):
    found = terms(text)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5 (terms, tokenize = 'ascii')")
        connection.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, instance)")
        connection.execute("INSERT INTO words VALUES (?)", (" ".join(found),))
        kept = connection.execute("SELECT term FROM vocabulary ORDER BY offset").fetchall()
    assert [term for (term,) in kept] == found


@given(texts)
def test_a_term_is_a_term_of_itself(text):
    for term in terms(text):
        assert term
        assert not any(character.isspace() or character in '_"*\0' for character in term)
        assert term in terms(term)


@given(st.text(st.characters(codec="utf-8") | st.sampled_from(TRICKY.replace("\ud800", ""))))
def test_equivalent_texts_have_the_same_terms(text):
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert terms(unicodedata.normalize(form, text)) == terms(text)


@given(texts, texts)
def test_a_blank_separates(left, right):
    assert terms(f"{left} {right}") == terms(left) + terms(right)


scalars = st.one_of(
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(-3, 3).map(lambda number: round(number, 1)),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "b", "A", "é", "10", "9", 'q"\\', "日"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3),
)
fields = st.sampled_from(["a", "b", 'a"b', "a.b", "$", "日", "\\", "'"])


def bounds(low, high):
    same = low is None or high is None or kind_of(low) == kind_of(high)
    return Range(low, high if same else None)


ranges = st.builds(bounds, st.none() | scalars, st.none() | scalars)
filters = st.dictionaries(fields, scalars | st.lists(scalars, max_size=4) | ranges, max_size=3)


@given(st.dictionaries(fields, scalars, max_size=6), filters)
@settings(max_examples=300)
def test_python_and_sqlite_pass_the_same_metadata(metadata, where):
    wanted = conditions(where)
    sql, parameters = clause(wanted, "metadata")
    with closing(sqlite3.connect(":memory:")) as connection:
        row = connection.execute(
            f"SELECT {sql} FROM (SELECT ? AS metadata)",
            (*parameters, json.dumps(metadata, ensure_ascii=False)),
        ).fetchone()
    assert bool(row[0]) is passes(metadata, wanted)


WORDS = ["red", "fox", "the", "wine", "猫", "狗猫", "İ", "x_y", "9"]
sentences = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
names = st.sampled_from("abcdef")


@st.composite
def documents(draw):
    id = draw(names)
    passages = (
        Passage(
            f"{id}#{i}", text, id, title=draw(sentences), metadata={"n": draw(st.integers(0, 3))}
        )
        for i, text in enumerate(draw(st.lists(sentences, max_size=3)))
    )
    return IndexedDocument(id, draw(names), tuple(passages))


steps = st.lists(
    st.tuples(st.just("upsert"), st.lists(documents(), max_size=4))
    | st.tuples(st.just("delete"), st.lists(names, max_size=3)),
    max_size=6,
)


@given(steps, st.lists(st.tuples(sentences, st.integers(1, 10), st.none() | st.integers(0, 3))))
def test_sqlite_answers_as_the_exact_store_does(history, questions):
    with tempfile.TemporaryDirectory() as folder:
        exact, store = MemoryStore(), SqliteStore.open(Path(folder) / "index.db")
        for verb, arguments in history:
            assert getattr(store, verb)(arguments) == getattr(exact, verb)(arguments)
        assert list(store.documents()) == list(exact.documents())
        for query, depth, n in questions:
            where = None if n is None else {"n": n}
            ours = store.search_lexical(query, depth, where)
            theirs = exact.search_lexical(query, depth, where)
            assert [passage for passage, _ in ours] == [passage for passage, _ in theirs]
            assert [score for _, score in ours] == pytest.approx([score for _, score in theirs])
        store.close()


@given(st.lists(st.tuples(names, sentences), max_size=30), st.integers(1, 8))
def test_the_size_of_batches_changes_nothing(stream, size):
    passages = [Passage(f"{i}", text, id) for i, (id, text) in enumerate(stream)]
    whole, parts = Index(MemoryStore()), Index(MemoryStore())
    report = whole.add(passages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adding, "BATCH_PASSAGES", size)
        assert parts.add(passages) == report
    assert list(parts.documents()) == list(whole.documents())
    assert report.added == whole.info().documents
