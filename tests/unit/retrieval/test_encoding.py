from __future__ import annotations

import numpy as np
import pytest

from letters import Letters
from secondpass.errors import EngineError, InvalidInput, StoreError
from secondpass.retrieval import Index, adding
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.testing import check_encoder
from secondpass.types import EncoderRecord, Passage

FOX, DOOR = Passage("a#0", "a red fox", "a", title="Fox"), Passage("b#0", "a blue door", "b")
RECORD = EncoderRecord("letters", "letters-1", 27)


@pytest.fixture
def file(tmp_path):
    """An index with vectors of letters."""
    with Index.open(tmp_path / "index.db", encoder=Letters()) as index:
        index.add([FOX, DOOR])
    return tmp_path / "index.db"


def test_the_encoder_of_these_tests_is_one():
    check_encoder(Letters())


def test_a_new_index_records_its_encoder_and_finds_it_again_by_name(file):
    loaded = []

    def load(name):
        loaded.append(Letters(name))
        return loaded[-1]

    with Index.open(file, load_encoder=load) as index:
        assert index.info().encoder == RECORD
        assert loaded == []  # not before it is needed
        assert index.retriever(first_stage="lexical").retrieve("fox", 1)
        assert loaded == []
        assert index.retriever().retrieve("fox", 1)[0].passage == FOX
        assert index.add([Passage("c#0", "wine", "c")]).added == 1
        assert [one.name for one in loaded] == ["letters"]
    assert loaded[0].closed


def test_a_passage_is_encoded_with_its_context_and_only_where_it_changed(file):
    encoder = Letters()
    with Index.open(file, encoder=encoder) as index:
        index.add([FOX, DOOR])
        assert encoder.encoded == []
        changed = Passage("a#0", "a red fox and a hen", "a", title="Fox")
        index.add([changed, DOOR])
        assert encoder.encoded == ["Fox\na red fox and a hen"]
    assert not encoder.closed  # it is the caller's


def test_vectors_are_made_a_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(adding, "BATCH_ENCODED", 4)
    store, reports = MemoryStore(), []

    class Watched(Letters):
        def encode_passages(self, texts):
            stored.append((store.count(), len(list(texts))))
            return super().encode_passages(texts)

    stored: list[tuple[int, int]] = []
    passages = (Passage(f"{at}#0", "x" * (at + 1), str(at)) for at in range(10))
    Index(store, Watched()).add(passages, on_progress=reports.append)
    assert stored == [(0, 4), (4, 4), (8, 2)]
    assert [report.passages for report in reports] == [4, 8, 10]


def test_an_add_that_broke_off_goes_on_where_it_stopped(monkeypatch):
    monkeypatch.setattr(adding, "BATCH_ENCODED", 2)
    store, encoder = MemoryStore(), Letters()
    passages = [Passage(f"{at}#0", f"text {at}", str(at)) for at in range(6)]

    class Broken(Letters):
        def encode_passages(self, texts):
            if len(self.encoded) == 4:
                raise EngineError("the endpoint is gone")
            return super().encode_passages(texts)

    with pytest.raises(EngineError, match="the endpoint is gone"):
        Index(store, Broken()).add(passages)
    assert store.count() == 4
    assert Index(store, encoder).add(passages).unchanged == 4
    assert encoder.encoded == ["text 4", "text 5"]


@pytest.mark.parametrize(
    "other", [Letters(fingerprint="letters-2"), type("Longer", (Letters,), {"dimension": 28})()]
)
def test_another_encoder_is_refused(other, file):
    message = r"did not make this index's vectors; expected 'letters' \(fingerprint letters-1, dim"
    with pytest.raises(StoreError, match=message):
        Index.open(file, encoder=other)
    with Index.open(file, load_encoder=lambda name: other) as index:
        for call in (index.retriever, lambda: index.add([FOX])):
            with pytest.raises(StoreError, match=message):
                call()
        assert index.retriever(first_stage="lexical").retrieve("fox", 1)


def test_an_encoder_that_moved_is_found_under_its_new_name(file):
    Index.open(file, encoder=Letters("elsewhere")).close()
    with Index.open(file) as index:
        assert index.info().encoder == EncoderRecord("elsewhere", "letters-1", 27)
    Index.open(file, encoder=Letters("")).close()
    with Index.open(file) as index:
        assert index.info().encoder == EncoderRecord("elsewhere", "letters-1", 27)


def test_an_encoder_that_nobody_can_find_is_asked_for(file):
    with Index.open(file) as index:
        message = r"the index needs its encoder 'letters' \(27 numbers, .* pass encoder=\.\.\."
        for call in (index.retriever, lambda: index.add([FOX])):
            with pytest.raises(InvalidInput, match=message):
                call()
        assert index.delete(["a"]) == 1
    with pytest.raises(InvalidInput, match="encoder='letters' is a name and nothing finds enc"):
        Index.open(file, encoder="letters")
    assert Index.open(file, encoder="letters", load_encoder=Letters).retriever().retrieve("fox", 1)


def test_an_index_of_passages_without_vectors_takes_no_encoder(tmp_path):
    with Index.open(tmp_path / "index.db") as index:
        index.add([FOX])
    with pytest.raises(StoreError, match=r"holds 1 passages without vectors; .* a new index, with"):
        Index.open(tmp_path / "index.db", encoder=Letters())
    with Index.open(tmp_path / "index.db") as index:
        assert index.info().encoder is None
        assert index.add([DOOR]).added == 1


@pytest.mark.parametrize(
    ("value", "message"), [(0, "'b#0' is zero"), (np.nan, "passage 'b#0' is not finite")]
)
def test_a_senseless_vector_names_its_passage_and_nothing_is_written(value, message):
    class Senseless(Letters):
        def encode_passages(self, texts):
            vectors = super().encode_passages(texts)
            vectors[1] = value
            return vectors

    index = Index(MemoryStore(), Senseless())
    with pytest.raises(InvalidInput, match=message):
        index.add([FOX, DOOR])
    assert index.count() == 0


def test_too_few_vectors_are_an_error():
    class Short(Letters):
        def encode_passages(self, texts):
            return super().encode_passages(texts)[:-1]

    with pytest.raises(EngineError, match="gave 1 vectors for 2 passages; expected one each"):
        Index(MemoryStore(), Short()).add([FOX, DOOR])
