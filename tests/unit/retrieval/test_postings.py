"""tantivy's postings beside a file: faster, and the same answers; where they are amiss, SQLite's own."""

from __future__ import annotations

import json
import os
import random
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.retrieval.stores import postings
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.types import IndexedDocument, Passage

tantivy = pytest.importorskip("tantivy", reason="the extra 'tantivy' is not installed")

WORDS = "red fox dog cat blue green grey 大熊 猫 tree house of the and a in river stone".split()
QUERIES = ["red fox", "the cat of the river", "大熊猫", "unknown", "stone stone house", "Fox's"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(postings, "LARGE", 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my.index"


def document(id, *texts):
    passages = tuple(Passage(f"{id}#{n}", text, id) for n, text in enumerate(texts))
    return IndexedDocument(id, "digest", passages)


def documents(first, end, seed=0):
    drawn = random.Random(seed)
    return [
        document(
            f"d{number}", *(" ".join(drawn.choices(WORDS, k=drawn.randint(1, 60))) for _ in "ab")
        )
        for number in range(first, end)
    ]


def scanned(path, query, depth=10):
    """What SQLite finds by reading all postings."""
    beside = path.with_name("copy.index")
    shutil.copy(path, beside)
    store = SqliteStore.open(beside)
    found = store.search_lexical(query, depth)
    assert not postings.Postings(beside).folder.exists()
    store.close()
    return found


def check(store, path, depth=10):
    for query in QUERIES:
        found, expected = store.search_lexical(query, depth), scanned(path, query, depth)
        assert [id for id, _ in found] == [id for id, _ in expected], query
        assert [score for _, score in found] == pytest.approx([score for _, score in expected])


def used(store):
    with store._connections.reading() as connection:
        return store._postings.best(connection, {"fox": 1.0}, 5) is not None


def checkpointed(store):
    with store._connections.lease() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_what_is_found_is_what_sqlite_finds(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 300))
    assert not used(store)
    store.flush()
    checkpointed(store)

    assert used(store)
    assert store.info().bytes_on_disk > path.stat().st_size
    for depth in (1, 10, 700):
        check(store, path, depth)
    assert store.search_lexical("red", 3, {"lang": "en"}) == []  # a filter is SQLite's
    store.close()


def test_it_follows_what_is_added_replaced_and_deleted(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 200))
    store.flush()
    store.upsert(documents(50, 120, seed=1))
    store.delete([f"d{number}" for number in range(20)])
    other = SqliteStore.open(path)
    other.add(documents(300, 400, seed=2))
    checkpointed(store)

    for each in (store, other, SqliteStore.open(path)):
        assert used(each)
        check(each, path)


def test_what_is_gone_takes_no_place(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 40))
    store.flush()
    for _ in range(5):
        store.upsert(documents(0, 40))
        assert used(store)
    checkpointed(store)

    assert store._postings._index.searcher().num_docs > 4 * store.count()
    check(store, path, depth=60)


def test_a_folder_of_passages_that_are_mostly_gone_is_made_anew(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 200))
    store.flush()
    store.delete([f"d{number}" for number in range(100)])
    store.flush()
    checkpointed(store)

    assert store._postings._index.searcher().num_docs == 200
    check(store, path)


def test_a_folder_far_behind_is_left_alone_until_the_next_flush(path, monkeypatch):
    monkeypatch.setattr(postings, "BEHIND", 10)
    store = SqliteStore.open(path)
    store.add(documents(0, 50))
    store.flush()
    store.add(documents(50, 100))
    checkpointed(store)

    assert not used(store)
    check(store, path)
    store.flush()
    assert used(store)
    check(store, path)


def test_another_file_in_the_old_ones_place_is_not_mistaken_for_it(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 100))
    store.flush()
    store.close()
    path.unlink()
    store = SqliteStore.open(path)
    store.add(documents(0, 100, seed=3))
    checkpointed(store)

    assert not used(store)
    check(store, path)
    store.flush()
    assert used(store)
    check(store, path)


def test_an_older_file_that_was_put_back_is_not_taken_for_the_newer(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 100))
    store.flush()
    checkpointed(store)
    older = path.read_bytes()
    store.add(documents(100, 200))
    store.flush()
    store.close()
    path.write_bytes(older)
    store = SqliteStore.open(path)

    assert not used(store)
    check(store, path)
    store.add(documents(300, 350, seed=4))
    store.flush()
    checkpointed(store)
    assert used(store)
    check(store, path)


def test_a_folder_that_cannot_be_made_costs_speed_alone(path, caplog):
    store = SqliteStore.open(path)
    store.add(documents(0, 50))
    store._postings.folder.write_text("a file in its place")
    store.flush()

    assert "cannot be made" in caplog.text
    assert not used(store)
    checkpointed(store)
    assert store.search_lexical("red fox", 5)


def test_a_crash_between_the_commit_and_the_state_adds_nothing_twice(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 50))
    store.flush()
    state = store._postings.folder / "secondpass.json"
    before = state.read_text()
    store.add(documents(50, 100))
    store.flush()
    store.close()
    state.write_text(before)
    store = SqliteStore.open(path)

    assert used(store)
    assert store._postings._index.searcher().num_docs == 200
    checkpointed(store)
    check(store, path)


@pytest.mark.parametrize("harm", ["no state", "no json", "other form", "no segments", "no meta"])
def test_a_damaged_folder_is_not_used_and_made_anew(path, harm):
    store = SqliteStore.open(path)
    store.add(documents(0, 100))
    store.flush()
    store.close()
    folder = store._postings.folder
    state = folder / "secondpass.json"
    if harm == "no state":
        state.unlink()
    elif harm == "no json":
        state.write_text("{")
    elif harm == "other form":
        state.write_text(json.dumps(json.loads(state.read_text()) | {"form": 0}))
    else:
        for file in folder.iterdir():
            if file != state and (harm == "no segments") == (file.name != "meta.json"):
                file.unlink()
    store = SqliteStore.open(path)

    assert not used(store)
    check(store, path)
    store.flush()
    assert used(store)
    check(store, path)


def test_a_search_does_not_wait_for_another_writer_of_the_folder(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 50))
    store.flush()
    store.add(documents(50, 60))
    writer = tantivy.Index.open(str(store._postings.folder)).writer()
    checkpointed(store)

    assert not used(store)
    check(store, path)
    writer.wait_merging_threads()
    assert used(store)
    check(store, path)


def test_a_state_that_cannot_be_written_costs_speed_alone(path, caplog):
    store = SqliteStore.open(path)
    store.add(documents(0, 50))
    store.flush()
    store.add(documents(50, 60))
    checkpointed(store)
    blocked = store._postings.folder / "secondpass.json.part"
    blocked.mkdir()

    assert not used(store)
    assert "cannot be written" in caplog.text
    check(store, path)
    blocked.rmdir()
    assert used(store)
    check(store, path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_process_uses_it_too(path):
    store = SqliteStore.open(path)
    store.add(documents(0, 50))
    store.flush()
    found = store.search_lexical("red fox", 5)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if used(store) and store.search_lexical("red fox", 5) == found else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_small_files_get_no_folder(path, monkeypatch):
    monkeypatch.setattr(postings, "LARGE", 50)
    store = SqliteStore.open(path)
    store.add(documents(0, 20))
    store.flush()

    assert not store._postings.folder.exists()


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=30), min_size=1, max_size=40), st.data())
def test_any_texts_and_query(tmp_path_factory, texts, data):
    path = tmp_path_factory.mktemp("any") / "my.index"
    store = SqliteStore.open(path)
    store.add([document(f"d{at}", " ".join(words) or "x") for at, words in enumerate(texts)])
    query = " ".join(data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)))
    expected = store.search_lexical(query, 100)
    store.flush()

    found = store.search_lexical(query, 100)

    assert used(store)
    assert [id for id, _ in found] == [id for id, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected])
    store.close()
