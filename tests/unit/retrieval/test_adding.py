from __future__ import annotations

import pytest

from secondpass.errors import InvalidInput, StoreError
from secondpass.retrieval import AddReport, Index, adding
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.types import Passage


def passages(document: str, *texts: str, path: str | None = None) -> list[Passage]:
    return [Passage(f"{document}#{i}", text, document, path=path) for i, text in enumerate(texts)]


class Counting(MemoryStore):
    """Notes the documents of each transaction."""

    def __init__(self):
        super().__init__()
        self.transactions = []

    def upsert(self, documents):
        super().upsert(documents)
        self.transactions.append([document.id for document in documents])


def stored(index: Index) -> dict[str, list[str]]:
    return {one.id: [passage.text for passage in one.passages] for one in index.documents()}


def test_added_replaced_and_unchanged_documents_are_counted():
    index = Index(MemoryStore())
    first = index.add([*passages("a", "one", "two"), *passages("b", "three")])
    assert first == AddReport(added=2, passages=3)

    second = index.add(
        [*passages("a", "one", "two"), *passages("b", "four"), *passages("c", "five")]
    )

    assert second == AddReport(added=1, replaced=1, unchanged=1, passages=2)
    assert stored(index) == {"a": ["one", "two"], "b": ["four"], "c": ["five"]}


def test_nothing_added_is_a_report_of_nothing():
    assert Index(MemoryStore()).add(iter([])) == AddReport()


def test_blank_passages_are_dropped_and_counted():
    index = Index(MemoryStore())
    report = index.add([*passages("a", "one", " \n\t", ""), *passages("b", "\u3000")])
    assert report == AddReport(added=2, passages=1, blank=3)
    assert stored(index) == {"a": ["one"], "b": []}
    assert index.add(passages("b", "\u3000")) == AddReport(unchanged=1, blank=1)


def test_a_document_that_comes_twice_is_reported_and_the_last_one_stays():
    index = Index(MemoryStore())
    stream = [*passages("a", "1"), *passages("b", "2"), *passages("a", "3"), *passages("a2", "x")]
    report = index.add([*stream, *passages("a", "4")])
    assert report == AddReport(added=3, replaced=2, passages=5, duplicates=("a",))
    assert stored(index) == {"b": ["2"], "a2": ["x"], "a": ["4"]}


def test_a_document_from_another_path_is_reported():
    index = Index(MemoryStore())
    index.add([*passages("a", "1", path="/x"), *passages("b", "2", path="/x")])
    report = index.add([*passages("a", "1", path="/y"), *passages("b", "3", path="/x")])
    assert report == AddReport(replaced=2, passages=2, moved=("a",))
    both = index.add([*passages("a", "1", path="/x"), *passages("a", "1", path="/y")])
    assert both == AddReport(replaced=2, passages=2, moved=("a",), duplicates=("a",))


def test_documents_are_written_a_batch_at_a_time_and_never_in_parts(monkeypatch):
    monkeypatch.setattr(adding, "BATCH_PASSAGES", 4)
    store, reports = Counting(), []
    stream = [passage for id in "abcde" for passage in passages(id, "x", "y")]
    stream[4:4] = passages("huge", *["text"] * 50)

    report = Index(store).add(stream, on_progress=reports.append)

    assert store.transactions == [["a", "b"], ["huge"], ["c", "d"], ["e"]]
    assert [one.passages for one in reports] == [4, 54, 58, 60]
    assert reports[-1] == report


def test_slow_streams_are_written_in_between(monkeypatch):
    monkeypatch.setattr(adding, "BATCH_SECONDS", 0.0)
    store = Counting()
    Index(store).add([*passages("a", "x"), *passages("b", "y")])
    assert store.transactions == [["a"], ["b"]]


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt(), InvalidInput("bad")])
def test_what_was_complete_is_written_before_the_error_goes_on(error):
    def failing():
        yield from passages("a", "1")
        yield from passages("b", "2", "3")
        yield from passages("c", "4")
        raise error

    index = Index(MemoryStore())
    with pytest.raises(type(error)):
        index.add(failing())
    assert stored(index) == {"a": ["1"], "b": ["2", "3"]}

    report = index.add([*passages("a", "1"), *passages("b", "2", "3"), *passages("c", "4")])
    assert report == AddReport(added=1, unchanged=2, passages=1)


def test_a_passage_that_cannot_be_stored_leaves_the_ones_before():
    index = Index(MemoryStore())
    with pytest.raises(InvalidInput, match="the text of passage 'b#1' holds half a surrogate"):
        index.add([*passages("a", "1"), *passages("b", "2", "\ud800"), *passages("c", "3")])
    assert stored(index) == {"a": ["1"]}


def test_an_interrupted_write_is_made_up_for():
    class Interrupted(MemoryStore):
        fails = 1

        def upsert(self, documents):
            if self.fails:
                self.fails -= 1
                raise KeyboardInterrupt
            super().upsert(documents)

    index = Index(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        index.add([*passages("a", "1"), *passages("b", "2")])
    assert stored(index) == {"a": ["1"], "b": ["2"]}


def test_a_failed_write_is_not_tried_again():
    class Full(MemoryStore):
        calls = 0

        def upsert(self, documents):
            self.calls += 1
            raise StoreError("full")

    store = Full()
    with pytest.raises(StoreError, match="full"):
        Index(store).add(passages("a", "1"))
    assert store.calls == 1


def test_an_error_of_the_callback_goes_on():
    def failing(report):
        raise RuntimeError("stop")

    index = Index(MemoryStore())
    with pytest.raises(RuntimeError, match="stop"):
        index.add(passages("a", "1"), on_progress=failing)
    assert stored(index) == {"a": ["1"]}


def test_the_callers_passages_are_left_as_they_are():
    given = passages("a", "one", " ", "two")
    copy = list(given)
    Index(MemoryStore()).add(given)
    assert given == copy
