from __future__ import annotations

from dataclasses import replace

import pytest

from letters import Letters
from secondpass.errors import EngineError, StoreError
from secondpass.retrieval import Index, migrate
from secondpass.retrieval.migrate import Migration
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.stores.sqlite import SqliteStore
from secondpass.types import EncoderRecord, Passage, Range


@pytest.fixture
def sqlite(tmp_path):
    opened = SqliteStore.open(tmp_path / "target.db")
    yield opened
    opened.close()


def filled(store, *, documents=7, encoder=None):
    metadata = {"year": 2024, "share": 0.1, "open": True, "lang": "中"}
    Index(store, encoder).add(
        Passage(f"{at}#{n}", f"text {at} {n}", str(at), 1, 5, "t", f"/{at}", n, ("h",), metadata)
        for at in range(documents)
        for n in range(3)
    )
    return store


def ids(store):
    return [passage.id for one in store.documents() for passage in one.passages]


@pytest.mark.parametrize("encoder", [None, Letters()])
def test_there_and_back_nothing_changes(encoder, sqlite, monkeypatch):
    monkeypatch.setattr(migrate, "BATCH_PASSAGES", 8)
    source, back, reports = filled(MemoryStore(), encoder=encoder), MemoryStore(), []
    Index(source, encoder).add([Passage("blank#0", " ", "blank")])

    done = migrate.migrate(source, sqlite, reports.append)
    again = migrate.migrate(sqlite, back)

    assert done == Migration(8, 21, 8, done.checksum)
    assert again == done
    assert [report.documents for report in reports] == [2, 4, 6, 8]
    assert list(back.documents()) == list(sqlite.documents()) == list(source.documents())
    assert sqlite.encoder() == source.encoder()
    assert sqlite.count({"year": Range(2024), "open": True}) == 21
    if encoder is not None:
        assert (back.vectors(ids(back)) == source.vectors(ids(source))).all()
        query = encoder.encode_queries(["text 3"])[0]
        assert sqlite.search_dense(query, 9) == source.search_dense(query, 9)


def test_a_copy_that_broke_off_goes_on(sqlite, monkeypatch):
    monkeypatch.setattr(migrate, "BATCH_PASSAGES", 8)
    source, upsert = filled(MemoryStore(), encoder=Letters()), sqlite.upsert

    def failing(documents):
        if sqlite.count() >= 12:
            raise EngineError("the power is gone")
        upsert(documents)

    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "upsert", failing)
        with pytest.raises(EngineError, match="the power is gone"):
            migrate.migrate(source, sqlite)
    assert sqlite.count() == 12
    assert migrate.migrate(source, sqlite).copied == 3
    assert migrate.migrate(source, sqlite).copied == 0


def test_a_document_that_changed_meanwhile_is_copied_again(sqlite):
    source = filled(MemoryStore())
    first = migrate.migrate(source, sqlite)
    Index(source).add([Passage("3#0", "another text", "3")])
    second = migrate.migrate(source, sqlite)
    assert (second.copied, second.passages) == (1, 19)
    assert second.checksum != first.checksum


class Lossy(MemoryStore):
    """Cuts what it is given."""

    def upsert(self, documents):
        super().upsert(
            [replace(one, passages=tuple(map(self.cut, one.passages))) for one in documents]
        )

    def cut(self, passage):
        return replace(passage, metadata={})


class Blurred(MemoryStore):
    """Keeps vectors badly."""

    def vectors(self, ids):
        found = super().vectors(ids)
        found[0] += 0.01
        return found


def test_a_target_that_keeps_something_else_is_found():
    with pytest.raises(
        StoreError, match=r"holds 7 documents, 21 passages, checksum .*; expected th"
    ):
        migrate.migrate(filled(MemoryStore()), Lossy())
    source = filled(MemoryStore(), encoder=Letters())
    with pytest.raises(
        StoreError, match=r"passage '0#0' differs between the stores by more than 1e"
    ):
        migrate.migrate(source, Blurred())


def test_a_target_of_something_else_is_refused(sqlite):
    source = filled(MemoryStore(), documents=2)
    filled(sqlite, documents=3)
    with pytest.raises(StoreError, match="holds 1 documents that the source does not, '2' first"):
        migrate.migrate(source, sqlite)
    assert sqlite.count() == 9
    other = MemoryStore()
    other.record_encoder(EncoderRecord("other", "f", 27))
    with pytest.raises(
        StoreError, match="keeps vectors of encoder 'other' and the source has none"
    ):
        migrate.migrate(source, other)
    with pytest.raises(StoreError, match="did not make this index's vectors"):
        migrate.migrate(filled(MemoryStore(), encoder=Letters()), other)
