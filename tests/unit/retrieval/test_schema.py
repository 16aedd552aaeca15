from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from secondpass.errors import StoreError
from secondpass.retrieval.stores import schema
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.types import EncoderRecord, IndexedDocument, Passage


def change(file: Path, sql: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(sql)
        connection.commit()


def foreign(file: Path) -> None:
    change(file, "CREATE TABLE customers (name)")


def foreign_with_a_log(file: Path) -> None:
    change(file, "PRAGMA journal_mode = WAL")
    change(file, "CREATE TABLE customers (name)")


def another_application(file: Path) -> None:
    change(file, "PRAGMA application_id = 1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: file.write_text("# Notes\n"), "is not an index: no SQLite file"),
        (lambda file: file.write_bytes(b"SQLite format 3\0"), "an SQLite file of another"),
        (foreign, "is not an index: an SQLite file of another application"),
        (foreign_with_a_log, "is not an index: an SQLite file of another application"),
        (another_application, "is not an index: an SQLite file of another application"),
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_a_foreign_file_is_refused_and_left_as_it_is(make, message, create, tmp_path):
    file = tmp_path / "notes.md"
    make(file)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(StoreError) as refused:
        SqliteStore.open(file, create=create)
    assert message in str(refused.value)
    assert "choose another path" in str(refused.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path):
    file = tmp_path / "index.db"
    SqliteStore.open(file).close()
    change(file, "PRAGMA user_version = 99")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="has schema version 99; expected at most 2; a newer"):
        SqliteStore.open(file)
    assert file.read_bytes() == before


def test_words_of_another_analyser_are_refused(tmp_path):
    file = tmp_path / "index.db"
    SqliteStore.open(file).close()
    change(file, "UPDATE facts SET value = 99 WHERE name = 'analyser'")
    with pytest.raises(StoreError, match="by analyser version 99; expected version 1"):
        SqliteStore.open(file)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(StoreError, match="is a folder; expected the path of an index file"):
        SqliteStore.open(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="is a device or a pipe"):
        SqliteStore.open(tmp_path / "pipe")


def test_a_file_in_the_way_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be read: Not a directory"):
        SqliteStore.open(tmp_path / "file" / "index.db")


@pytest.mark.parametrize("empty", [True, False])
def test_without_create_a_missing_index_is_refused(empty, tmp_path):
    file = tmp_path / "sub" / "index.db"
    if empty:
        file.parent.mkdir()
        file.touch()
    with pytest.raises(
        StoreError, match=r"there is no index at '.*'; .* make one with `secondpass index`"
    ):
        SqliteStore.open(file, create=False)
    assert file.parent.exists() is empty


def test_an_empty_file_becomes_an_index(tmp_path):
    (tmp_path / "index.db").touch()
    store = SqliteStore.open(tmp_path / "index.db")
    assert store.count() == 0
    store.close()


def test_a_network_drive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "type_at", lambda path, mountinfo: "nfs4")
    with pytest.raises(StoreError, match=r"is on a network drive \(nfs4\); .* on a local disk"):
        SqliteStore.open(tmp_path / "index.db")
    assert list(tmp_path.iterdir()) == []


def test_the_log_and_its_waits_are_as_promised(tmp_path):
    store = SqliteStore.open(tmp_path / "index.db")
    with store._connections.lease() as connection:
        asked = ("journal_mode", "synchronous", "busy_timeout", "application_id", "user_version")
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]
    assert values == ["wal", 2, 10_000, schema.APPLICATION_ID, schema.SCHEMA_VERSION]
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["index.db"]


def test_many_may_make_the_same_index_at_once(tmp_path):
    start, failures = threading.Barrier(8), []

    def make():
        start.wait()
        try:
            SqliteStore.open(tmp_path / "index.db").close()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(sqlite3.connect(tmp_path / "index.db")) as connection:
        assert connection.execute("SELECT count(*) FROM facts").fetchone() == (3,)


VERSION_1 = """
DROP TRIGGER passage_removed;
DROP TABLE vectors;
DROP TABLE encoder;
DELETE FROM facts WHERE name = 'removals';
PRAGMA user_version = 1;
"""
FOX = IndexedDocument("a", "1", (Passage("a#0", "a red fox", "a"),))


@pytest.fixture
def version_1(tmp_path):
    """An index of version 1 that holds a fox."""
    file = tmp_path / "index.db"
    with closing(SqliteStore.open(file)) as store:
        store.add([FOX])
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(VERSION_1)
    return file


def test_an_older_file_is_read_as_it_is_and_upgraded_to_be_written(version_1):
    with closing(SqliteStore.open(version_1, create=False)) as store:
        assert (store.info().schema_version, store.encoder()) == (1, None)
        assert list(store.documents()) == [FOX]
        assert store.search_lexical("fox", 5)[0][0] == "a#0"
        store.upsert([FOX])
        assert store.delete(["a"]) == 1
        store.add([FOX])
        with pytest.raises(StoreError, match="has no vectors"):
            store.vectors(["a#0"])
        with closing(SqliteStore.open(version_1)) as upgraded:
            assert upgraded.info().schema_version == 2
            assert list(upgraded.documents()) == [FOX]
        # The store that opened it before goes on as if nothing had happened.
        assert store.delete(["a"]) == 1
        store.record_encoder(EncoderRecord("e", "f", 2))
        assert store.encoder() == EncoderRecord("e", "f", 2)


def test_an_older_file_is_upgraded_when_an_encoder_is_recorded(version_1):
    with closing(SqliteStore.open(version_1, create=False)) as store:
        with pytest.raises(StoreError, match="holds 1 passages without vectors"):
            store.record_encoder(EncoderRecord("e", "f", 2))
        assert store.info().schema_version == 1
        store.delete(["a"])
        store.record_encoder(EncoderRecord("e", "f", 2))
        assert store.info().schema_version == 2


def test_an_upgrade_that_fails_changes_nothing(version_1, monkeypatch):
    with monkeypatch.context() as patched:
        broken = schema._VECTORS.replace("PRAGMA", "CREATE NONSENSE;\nPRAGMA")
        patched.setattr(schema, "_VECTORS", broken)
        with pytest.raises(StoreError, match="syntax error"):
            SqliteStore.open(version_1)
    with closing(SqliteStore.open(version_1, create=False)) as store:
        assert (store.info().schema_version, store.count()) == (1, 1)


@pytest.mark.parametrize("upgraded", [True, False])
def test_an_upgraded_file_is_laid_out_like_a_new_one(upgraded, version_1, tmp_path):
    def layout(file):
        with closing(sqlite3.connect(file)) as connection:
            rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
            return rows.fetchall(), connection.execute("SELECT name FROM facts").fetchall()

    SqliteStore.open(tmp_path / "new.db").close()
    SqliteStore.open(version_1, create=upgraded).close()
    assert (layout(version_1) == layout(tmp_path / "new.db")) is upgraded


def test_an_interrupted_layout_is_taken_up_again(tmp_path, monkeypatch):
    file = tmp_path / "index.db"
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_SCHEMA", "CREATE TABLE facts (x);\nCREATE NONSENSE;\n")
        with pytest.raises(StoreError, match="syntax error"):
            SqliteStore.open(file)
    store = SqliteStore.open(file)
    assert store.count() == 0
    store.close()
