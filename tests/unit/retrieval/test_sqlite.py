from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from secondpass.errors import StoreError
from secondpass.retrieval.stores import connections, rows
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.types import IndexedDocument, Passage


def document(id: str, *texts: str, digest: str = "1") -> IndexedDocument:
    passages = (Passage(f"{id}#{i}", text, id) for i, text in enumerate(texts))
    return IndexedDocument(id, digest, tuple(passages))


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore.open(tmp_path / "index.db")
    yield opened
    opened.close()


def found(store: SqliteStore, query: str) -> list[str]:
    return [passage for passage, _ in store.search_lexical(query, 1000)]


def python(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def check_vectors(store: SqliteStore) -> None:
    """Each passage has its own vector, and there is no other vector."""
    with store._connections.reading() as connection:
        numbers = connection.execute("SELECT number FROM passages ORDER BY number").fetchall()
        assert (
            connection.execute("SELECT number FROM vectors ORDER BY number").fetchall() == numbers
        )
    ids = [passage.id for one in store.documents() for passage in one.passages]
    expected = np.eye(5, 64, dtype=np.float32)[[int(id.rpartition("#")[2]) for id in ids]]
    assert (store.vectors(ids) == expected).all()
    found = store.search_dense(np.ones(64, dtype=np.float32), len(ids) + 1)
    assert sorted(passage for passage, _ in found) == sorted(ids)


def check_words(store: SqliteStore) -> None:
    """The full-text table is sound, and has an entry for each passage and no other."""
    with store._connections.writing() as connection:
        connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        numbers = connection.execute("SELECT number FROM passages ORDER BY number").fetchall()
        assert connection.execute("SELECT id FROM words_docsize ORDER BY id").fetchall() == numbers


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "\0",
        "😀👩‍🔬",
        "e\u0301\u0302\u0327",
        "\u202e\ufeff\u200b",
        "\U0010ffff\ufffe",
        "\r\n\t\x1b",
    ],
)
def test_any_text_comes_back_as_it_was(text, store):
    passage = Passage(
        f"id {text}", text, text, 0, 1, text, text, None, (text, "x"), {"é\n\"'": 0.1}
    )
    stored = IndexedDocument(text, text, (passage,))
    store.add([stored])
    assert list(store.documents()) == [stored]
    assert store.get([passage.id]) == [passage]
    assert store.digests([text]) == {text: text}
    assert store.delete([text]) == 1
    check_words(store)


def test_words_go_with_their_passages(store):
    store.add([document(f"d{i}", "red fox", "blue 天空 door") for i in range(50)])
    store.upsert([document(f"d{i}", "green fox") for i in range(0, 50, 2)])
    store.delete([f"d{i}" for i in range(0, 50, 5)])
    assert len(found(store, "red")) == 20
    assert len(found(store, "天空")) == 20
    assert len(found(store, "green")) == 20
    check_words(store)
    store.delete([f"d{i}" for i in range(50)])
    with store._connections.lease() as connection:
        assert connection.execute("SELECT * FROM vocabulary").fetchall() == []


def test_a_document_that_another_writer_replaces_just_before(store, monkeypatch):
    store.add([document("a", "red")])
    prepare = store._stored

    def overtaken(ids):
        prepared = prepare(ids)
        monkeypatch.undo()
        store.upsert([document("a", "green fox", "door")])
        return prepared

    monkeypatch.setattr(store, "_stored", overtaken)
    assert store.delete(["a"]) == 1
    check_words(store)
    with store._connections.lease() as connection:
        assert connection.execute("SELECT * FROM vocabulary").fetchall() == []


def test_frequencies_follow_the_writes_of_others(store, tmp_path):
    store.add(
        [document("a", "red fox"), document("b", "fox"), document("c", "x"), document("d", "y")]
    )
    before = store.search_lexical("red", 1)[0][1]
    with closing(SqliteStore.open(tmp_path / "index.db")) as other:
        other.add([document(f"e{i}", "red") for i in range(5)])
    assert len(found(store, "red")) == 6
    assert store.search_lexical("red", 6)[-1][1] < before


def test_a_disk_that_is_full_is_said_and_harms_nothing(store):
    store.add([document("kept", "red fox")])
    with store._connections.lease() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    large = document("large", *(f"word{i} " * 500 for i in range(100)))

    with pytest.raises(StoreError, match=r"the disk is full; .*; free some space, then try again"):
        store.add([document("small", "blue"), large])

    assert store.digests(["kept", "small", "large"]) == {"kept": "1"}
    assert found(store, "red blue word1") == ["kept#0"]
    check_words(store)
    store.add([large])
    assert found(store, "word7") == ["large#7"]


def test_an_interrupted_transaction_leaves_nothing(store, monkeypatch):
    store.add([document("a", "red fox")])
    insert = rows.insert

    def interrupted(connection, document, words):
        if document.id == "c":
            raise KeyboardInterrupt
        insert(connection, document, words)

    with monkeypatch.context() as patched:
        patched.setattr(rows, "insert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.upsert([document("a", "green"), document("b", "blue"), document("c", "x")])
    assert list(store.documents()) == [document("a", "red fox")]
    assert found(store, "red green blue") == ["a#0"]
    check_words(store)
    store.upsert([document("a", "green")])
    assert found(store, "red green") == ["a#0"]


def test_a_file_that_is_being_written_is_said(store, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.05)
    with closing(SqliteStore(connections.Connections(tmp_path / "index.db"))) as other:
        # The turn to write is taken before the first word of the change.
        with store._connections.writing():
            with pytest.raises(StoreError, match="is being written by another process for more"):
                other.add([document("a", "x")])
            assert other.count() == 0
        other.add([document("a", "x")])
    assert store.count() == 1


def test_a_damaged_file_is_said(tmp_path):
    with closing(SqliteStore.open(tmp_path / "index.db")) as store:
        store.add([document(f"d{i}", "some words " * 50) for i in range(100)])
    content = bytearray((tmp_path / "index.db").read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    (tmp_path / "index.db").write_bytes(content)
    with pytest.raises(StoreError, match="is damaged; expected a whole file; restore a copy"):
        SqliteStore.open(tmp_path / "index.db").count()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_goes_away_is_said(replaced, store, tmp_path):
    store.add([document("a", "x")])
    (tmp_path / "index.db").rename(tmp_path / "elsewhere.db")
    if replaced:
        (tmp_path / "index.db").touch()
    with pytest.raises(StoreError, match="was removed or replaced while it was open"):
        store.add([document("b", "y")])
    with pytest.raises(StoreError, match="was removed or replaced while it was open"):
        store.count()
    (tmp_path / "elsewhere.db").rename(tmp_path / "index.db")
    assert store.count() == 1


def test_eight_threads_share_a_store(store):
    store.add([document("base", "common words")])
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for turn in range(12):
                store.add([document(f"{name}-{turn}", f"common word{name}", f"turn{turn}")])
                assert f"{name}-{turn}#0" in found(store, f"word{name}")
                assert len(store.get([f"{name}-{turn}#{i}" for i in range(2)])) == 2
                if turn % 3 == 0:
                    assert store.delete([f"{name}-{turn}"]) == 1
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it again
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.count() == 1 + 8 * 8 * 2
    assert len(found(store, "common")) == 1 + 8 * 8
    check_words(store)


def test_a_reader_sees_whole_transactions_during_writes(store):
    store.add([document("a", "version0", "version0", "version0", digest="0")])
    done = threading.Event()

    def write() -> None:
        for version in range(1, 30):
            store.upsert([document("a", *[f"version{version}"] * 3, digest=str(version))])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        (read,) = store.documents()
        assert {passage.text for passage in read.passages} == {f"version{read.digest}"}
        assert len(read.passages) == 3
        seen.add(read.digest)
    writer.join()
    assert seen


def test_a_reader_is_not_kept_waiting_by_a_writer(store):
    store.add([document("a", "old words")])
    with store._connections.writing() as connection:
        connection.execute("DELETE FROM documents")
        assert found(store, "old") == ["a#0"]
        assert list(store.documents()) == [document("a", "old words")]
        connection.execute("ROLLBACK")
        connection.execute("BEGIN")


def test_documents_may_change_while_they_are_read(store):
    store.add([document(f"d{i}", "x") for i in range(250)])
    read = []
    for one in store.documents():
        read.append(one.id)
        if one.id == "d50":
            store.delete([f"d{i}" for i in range(200, 250)])
            store.add([document("new", "y")])
    assert read == [f"d{i}" for i in range(250)]
    assert store.count() == 201


def test_an_abandoned_iterator_gives_its_connection_back(store):
    store.add([document("a", "x"), document("b", "y")])
    for one in store.documents():
        assert one.id == "a"
        break
    with store._connections.lease() as connection:
        assert not connection.in_transaction
    assert len(store._connections._free) == 1


ADD_LOOP = """
import sys
import numpy as np
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.types import EncoderRecord, IndexedDocument, Passage
path, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = SqliteStore.open(path)
store.record_encoder(EncoderRecord("e", "f", 64))
vectors = np.eye(5, 64, dtype=np.float32)
for turn in range(rounds):
    store.add([
        IndexedDocument(id, "1", tuple(Passage(f"{id}#{i}", f"common {name}", id) for i in range(5)), vectors)
        for id in (f"{name}-{turn}-{part}" for part in range(3))
    ])
    print(turn, flush=True)
store.close()
"""


def test_two_processes_write_at_once(store, tmp_path):
    writers = [python(ADD_LOOP, tmp_path / "index.db", name, 30) for name in ("left", "right")]
    while any(writer.poll() is None for writer in writers):
        assert store.count() % 15 == 0
        time.sleep(0.01)
    for writer in writers:
        output, _ = writer.communicate()
        assert (writer.returncode, len(output.splitlines())) == (0, 30)
    assert store.count() == 2 * 30 * 15
    assert len(found(store, "left")) == 450
    check_words(store)
    check_vectors(store)


@pytest.mark.slow
def test_what_was_acknowledged_outlives_a_kill(tmp_path):
    chance, acknowledged = random.Random(7), {}
    for turn in range(int(os.environ.get("KILLS", "10"))):  # KILLS=100 makes it thorough
        writer = python(ADD_LOOP, tmp_path / "index.db", f"r{turn}", 100_000)
        assert writer.stdout is not None
        for _ in range(chance.randint(1, 12)):
            last = int(writer.stdout.readline())
        time.sleep(chance.random() * 0.01)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        acknowledged[f"r{turn}"] = last

    with closing(SqliteStore.open(tmp_path / "index.db", create=False)) as store:
        there = {one.id: len(one.passages) for one in store.documents()}
        assert set(there.values()) == {5}
        assert len(there) % 3 == 0
        for name, last in acknowledged.items():
            assert {f"{name}-{turn}-2" for turn in range(last + 1)} <= there.keys()
        assert len(found(store, "common")) == min(1000, store.count())
        check_words(store)
        check_vectors(store)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_process_opens_connections_of_its_own(store):
    store.add([document("parent", "red fox")])
    with store._connections.lease() as connection:
        of_the_parent = connection
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.add([document("child", "red door")])
            status = 0 if found(store, "red") == ["parent#0", "child#0"] else 2
            with store._connections.lease() as connection:
                status = status if connection is not of_the_parent else 3
            store.close()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.add([document("after", "red wine")])
    assert found(store, "red") == ["parent#0", "child#0", "after#0"]
    check_words(store)


def test_closing_waits_for_no_one_and_leaks_nothing(store):
    inside, go_on = threading.Event(), threading.Event()

    def read() -> None:
        with store._connections.reading() as connection:
            inside.set()
            go_on.wait(10)
            connection.execute("SELECT count(*) FROM passages").fetchone()
        leased.append(connection)

    leased: list[sqlite3.Connection] = []
    reader = threading.Thread(target=read)
    reader.start()
    inside.wait(10)
    store.close()
    go_on.set()
    reader.join()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        leased[0].execute("SELECT 1")
