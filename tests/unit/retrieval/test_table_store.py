"""What a store promises whose database has no transactions, whichever call of it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from letters import Letters
from secondpass.errors import InvalidInput, StoreError
from secondpass.retrieval import Index
from secondpass.retrieval.stores import store_class
from secondpass.retrieval.stores.ledger import Ledger, Span
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.stores.numbering import numbered
from secondpass.retrieval.stores.table_store import TableStore
from secondpass.retrieval.stores.tables import Found, best
from secondpass.types import EncoderRecord, IndexedDocument, Passage, Range

NEEDS = {"chroma": "chromadb", "milvus": "pymilvus", "qdrant": "qdrant_client"}
RECORD = EncoderRecord("four", "fingerprint-4", 4)


@pytest.fixture(params=sorted(NEEDS))
def kind(request):
    pytest.importorskip(NEEDS[request.param], reason=f"the extra '{request.param}' is absent")
    return store_class(request.param)


@pytest.fixture
def opened(kind, tmp_path):
    store = kind.open(tmp_path / "index.db")
    yield store
    store.close()


def document(id, *texts, digest="1", seed=0):
    passages = tuple(Passage(f"{id}#{n}", text, id) for n, text in enumerate(texts))
    vectors = np.random.default_rng(seed).normal(size=(len(texts), 4)).astype(np.float32)
    return IndexedDocument(id, digest, passages, vectors)


OLD = [document("a", "red fox", "red dog"), document("b", "blue cat")]
NEW = [document("a", "green fox", digest="2", seed=1), document("c", "grey cat", "grey dog")]


class Dying:
    """Tables whose process dies at the given call that writes."""

    def __init__(self, tables, at):
        self.tables, self.left = tables, at

    def __getattr__(self, name):
        found = getattr(self.tables, name)
        if name not in ("save", "put", "drop", "drop_from"):
            return found

        def call(*args):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return found(*args)

        return call


def state(store):
    """All that readers can see of it."""
    return (
        list(store.documents()),
        store.count(),
        sorted(id for id, _ in store.search_lexical("fox cat dog", 10)),
        sorted(id for id, _ in store.search_dense(np.ones(4, dtype=np.float32), 10)),
        store.digests(["a", "b", "c"]),
    )


def test_a_writer_that_dies_leaves_the_old_state_or_the_new(opened):
    opened.record_encoder(RECORD)
    opened.add(OLD)
    old = state(opened)
    seen = []
    for at in range(10):
        dying = Dying(opened._tables, at)
        try:
            TableStore(dying).upsert(NEW)
        except KeyboardInterrupt:
            seen.append(state(opened))
            opened.delete(["c"])  # the next writer clears up
            opened.upsert([OLD[0]])
            opened.upsert([OLD[1]])
            assert state(opened) == old
        else:
            break
    new = state(opened)

    assert at < 9
    assert [one.digest for one in new[0]] == ["1", "2", "1"]
    assert all(one in (old, new) for one in seen)
    assert old in seen
    assert new in seen
    numbers = {row.number for row in opened._tables.passages(Span(0, 10**6))}
    assert len(numbers) == 4  # nothing is left of what died


CHILD = """
import sys
from secondpass.retrieval.stores import store_class
from secondpass.types import IndexedDocument, Passage
store = store_class(sys.argv[1]).open(sys.argv[2])
for n in range(1000):
    passages = tuple(Passage(f"{n}#{i}", f"word{n} text", f"{n}") for i in range(5))
    store.upsert([IndexedDocument(f"{n}", "1", passages)])
    print(n, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(kind, tmp_path):
    command = [sys.executable, "-c", CHILD, kind.__name__.removesuffix("Store").lower()]
    with subprocess.Popen([*command, tmp_path / "index.db"], stdout=subprocess.PIPE) as child:
        lines = [child.stdout.readline() for _ in range(4)]
        time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.readlines()
    last = int([line for line in lines if line.endswith(b"\n")][-1])

    store = kind.open(tmp_path / "index.db", create=False)
    try:
        there = list(store.documents())
        assert [one.id for one in there[: last + 1]] == [f"{n}" for n in range(last + 1)]
        assert len(there) <= last + 2
        assert all(len(one.passages) == 5 for one in there)
        assert len(store.search_lexical(f"word{last}", 10)) == 5
        store.upsert([replace(document("after", "a new word"), vectors=None)])
        assert store.count() == 5 * len(there) + 1
    finally:
        store.close()


def test_readers_never_see_a_part_of_a_write(opened):
    opened.add([replace(one, vectors=None) for one in OLD])
    done, wrong = threading.Event(), []

    def read():
        while not done.is_set():
            counts = [len(one.passages) for one in opened.documents()]
            found = len(opened.search_lexical("cat", 10))
            if counts not in ([2, 1], [1, 2]) or found not in (1, 2):
                wrong.append((counts, found))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        opened.upsert([replace(document("b", "blue cat"), vectors=None)])
        opened.upsert([replace(document("a", "red fox", "red dog"), vectors=None)])
    done.set()
    reader.join()

    assert not wrong


def test_a_second_writer_is_noticed(opened):
    class Slow:
        def __init__(self, tables):
            self.tables = tables

        def __getattr__(self, name):
            return getattr(self.tables, name)

        def put(self, documents, passages):
            self.tables.put(documents, passages)
            opened.upsert([IndexedDocument("quick", "1", ())])

    with pytest.raises(StoreError, match="another process wrote"):
        TableStore(Slow(opened._tables)).add([IndexedDocument("slow", "1", ())])
    assert [one.id for one in opened.documents()] == ["quick"]


def test_filters_agree_with_those_of_memory(opened):
    values = [1, 1.0, True, "1", 0, False, -3, 2.5, 2**53 + 1, "b", "", "中"]
    passages = [
        Passage(f"{n}", f"same {n}", f"{n}", metadata={"v": value, "": n, "secondpass_x": n})
        for n, value in enumerate(values)
    ]
    memory = MemoryStore()
    for store in (opened, memory):
        Index(store).add(passages)

    asked = [*values, values, [], [1, "b"], [2**53 + 1, 0.5], [True, 1.0]]
    asked += [Range(0), Range(at_most=2.5), Range("a", "c"), Range(at_least=""), Range(0, 2**60)]
    asked += [Range(), Range(True), Range(-3, 1.5)]
    for where in [{"v": one} for one in asked] + [{"": 3}, {"secondpass_x": 4}, {"v": 1, "": 0}]:
        assert opened.count(where) == memory.count(where), where
        found = [id for id, _ in opened.search_lexical("same", 50, where)]
        assert found == [id for id, _ in memory.search_lexical("same", 50, where)], where


def test_odd_texts_come_back(opened):
    texts = ["a\0b", "\ud7ff 👩‍👧 \u2028 '\"\\ {} %", " ", "中" * 3000]
    whole = document("odd", *texts)
    odd = IndexedDocument("odd ' \" \\ \0", "1", ())
    opened.add([replace(whole, vectors=None), odd])

    assert list(opened.documents()) == [whole, odd]
    assert opened.get(["odd#3"]) == [whole.passages[3]]
    assert opened.digests([odd.id]) == {odd.id: "1"}


def test_many_documents_in_one_call(opened):
    opened.record_encoder(RECORD)
    many = [document(f"{n}", "same text", seed=n) for n in range(400)]
    opened.add(many)
    query = np.array([1, 2, 3, 4], dtype=np.float32)
    exact = np.concatenate([one.vectors for one in many]).astype(np.float64)
    scores = exact @ query / np.linalg.norm(exact, axis=1) / np.linalg.norm(query)

    assert [one.id for one in opened.documents()] == [one.id for one in many]
    found = opened.search_dense(query, 20)
    best_ids = {f"{n}#0" for n in np.argsort(-scores)[:20]}
    assert len(best_ids & {id for id, _ in found}) >= 19
    assert found[0][1] == pytest.approx(scores.max())
    assert [id for id, _ in opened.search_lexical("same", 3)] == ["0#0", "1#0", "2#0"]
    assert opened.delete([one.id for one in many[1:]]) == 399
    assert [id for id, _ in opened.search_lexical("same", 3)] == ["0#0"]


def test_an_index_in_it_is_found_again(kind, tmp_path):
    texts = ["a red fox", "blue sky", "the red door"]
    with Index(kind.open(tmp_path / "index.db"), Letters()) as index:
        index.add(Passage(f"{n}", text, f"{n}") for n, text in enumerate(texts))
        there = index.retriever(first_stage="hybrid").retrieve("red fox", 3)
    with Index(kind.open(tmp_path / "index.db", create=False), Letters()) as index:
        again = index.retriever(first_stage="hybrid").retrieve("red fox", 3)
        assert index.info().passages == 3
        assert index.info().bytes_on_disk > 0

    assert again == there
    assert there[0].passage.id == "0"


def test_nothing_is_opened_where_nothing_is(kind, tmp_path):
    with pytest.raises(StoreError, match="there is no"):
        kind.open(tmp_path / "none.db", create=False)
    assert not (tmp_path / "none.db").exists()


def test_a_damaged_ledger_is_an_error(opened):
    opened._tables.save("{}")
    with pytest.raises(StoreError, match="damaged"):
        opened.count()


def test_a_ledger_comes_back():
    ledger = Ledger(1, 2, 3, 40, (Span(3, 5), Span(9, 12)), 1, 6, 7, RECORD)

    assert Ledger.from_text(ledger.to_text()) == ledger
    assert [ledger.shows(number) for number in (2, 3, 5, 11, 12, 39, 40)] == [
        *(True, False, True, False, True, True, False)
    ]


def test_numbers_of_a_change():
    change = numbered(
        [document("a", "x"), document("b", "y", "z"), document("a", "w", digest="2")],
        10,
        {},
        {},
        replacing=True,
    )

    assert [(row.id, row.span) for row in change.documents] == [
        ("b", Span(10, 13)),
        ("a", Span(13, 15)),
    ]
    assert [row.number for row in change.passages] == [11, 12, 14]
    assert change.end == 15
    with pytest.raises(InvalidInput, match="taken"):
        numbered([document("a", "x")], 0, {}, {"a#0": "other"}, replacing=True)


def test_best_asks_for_more_until_nothing_can_tie():
    rows = [Found(n, f"{n}", {}, 1.0 if n < 100 else 0.5) for n in range(200)]
    asked = []

    def fetch(limit):
        asked.append(limit)
        return sorted(rows, key=lambda row: (-row.score, -row.number))[:limit]

    found = best(fetch, lambda row: row.number % 2 == 1, 3, 10_000)

    assert [row.number for row in found] == [1, 3, 5]
    assert asked == [19, 76, 304]
