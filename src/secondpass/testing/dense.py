"""What every store must do with vectors, of whichever encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, nan, sqrt
from typing import TYPE_CHECKING

from secondpass.errors import InvalidInput, StoreError
from secondpass.protocols import Store
from secondpass.testing.expect import expect, expect_equal, expect_error
from secondpass.types import EncoderRecord, Filter, IndexedDocument, Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RECORD = EncoderRecord("four", "fingerprint-4", 4)
_HALF = sqrt(0.5)

Numbers = Sequence[float]


def _array(numbers: Sequence[Numbers] | Numbers) -> NDArray[np.float32]:
    import numpy as np

    return np.array(numbers, dtype=np.float32)


def _document(id: str, *vectors: Numbers, digest: str = "1") -> IndexedDocument:
    numbers = range(len(vectors))
    passages = (Passage(f"{id}#{n}", f"{id} {n}", id, metadata={"n": n, "of": id}) for n in numbers)
    return IndexedDocument(
        id, digest, tuple(passages), _array(vectors).reshape(len(vectors), 4) if vectors else None
    )


_A = _document("a", (1, 0, 0, 0), (0, 1, 0, 0), (_HALF, _HALF, 0, 0))
_B = _document("b", (0, 0, 1, 0), (-1, 0, 0, 0))


def _found(store: Store, query: Numbers, depth: int = 10, where: Filter | None = None) -> list[str]:
    return [passage for passage, _ in store.search_dense(_array(query), depth, where)]


def keeps_vectors(store: Store) -> None:
    """`vectors` gives what was added in the order of its ids; `encoder` what was recorded."""
    expect_equal(store.encoder(), None, "encoder of a new store")
    store.record_encoder(_RECORD)
    expect_equal(store.encoder(), _RECORD, "encoder")
    store.add([_A, _document("empty")])
    store.upsert([_B])
    store.flush()
    kept = store.vectors(["b#1", "a#2", "b#1", "a#0"])
    wanted = _array([(-1, 0, 0, 0), (_HALF, _HALF, 0, 0), (-1, 0, 0, 0), (1, 0, 0, 0)])
    expect_equal((str(kept.dtype), kept.shape), ("float32", (4, 4)), "type and shape")
    expect(bool((abs(kept - wanted) < 1e-6).all()), f"vectors: {kept.tolist()}")
    expect_equal(store.vectors([]).shape, (0, 4), "vectors of no passages")
    expect_error(InvalidInput, partial(store.vectors, ["a#0", "none"]), "an unknown passage")
    expect_equal(list(store.documents()), [_A, _document("empty"), _B], "documents")


def keeps_one_encoder(store: Store) -> None:
    """The first encoder stays; vectors without one, and one after passages, are refused."""
    expect_error(StoreError, partial(store.search_dense, _array((1, 1, 0, 0)), 1), "no vectors")
    expect_error(InvalidInput, partial(store.add, [_A]), "vectors before record_encoder")
    plain = IndexedDocument("a", "1", _A.passages)
    store.add([plain])
    expect_error(StoreError, partial(store.record_encoder, _RECORD), "an encoder after passages")
    expect_equal(store.encoder(), None, "encoder")
    store.delete(["a"])
    store.record_encoder(_RECORD)
    store.record_encoder(_RECORD)
    for other in (EncoderRecord("four", "other", 4), EncoderRecord("four", "fingerprint-4", 5)):
        expect_error(StoreError, partial(store.record_encoder, other), f"recording {other}")
    expect_equal(store.encoder(), _RECORD, "encoder")


def refuses_senseless_vectors(store: Store) -> None:
    """Each passage needs a finite vector of the dimension, not 0; a call that fails adds nothing."""
    import numpy as np

    store.record_encoder(_RECORD)
    store.add([_A])
    good, ids = _array([(1, 0, 0, 0), (0, 1, 0, 0)]), _B.passages
    bad: list[tuple[str, NDArray[np.float32] | None]] = [
        ("no vectors", None),
        ("three numbers", good[:, :3]),
        ("a vector too few", good[:1]),
        ("a flat array", good.ravel()),
        ("float64", good.astype(np.float64)),
    ]
    for value in (0.0, nan, inf, -inf):
        bad.append((f"a vector of {value}", _array([(1, 0, 0, 0), (value, 0, 0, 0)])))
    for what, vectors in bad:
        wrong = IndexedDocument("b", "1", ids, vectors)
        for write in (store.add, store.upsert):
            expect_error(InvalidInput, partial(write, [_document("c", (1, 1, 1, 1)), wrong]), what)
    expect_equal(list(store.documents()), [_A], "documents after all that")
    expect_equal(len(_found(store, (1, 0, 0, 0))), 3, "passages found after all that")
    for query in ((1, 0, 0), (0, 0, 0, 0), (nan, 0, 0, 0), (inf, 0, 0, 0)):
        call = partial(store.search_dense, _array(query), 1)
        expect_error(InvalidInput, call, f"searching for {query}")


def finds_by_nearness(store: Store) -> None:
    """The score is the cosine, whatever the lengths of the vectors, and best comes first."""
    store.record_encoder(_RECORD)
    expect_equal(_found(store, (1, 0, 0, 0)), [], "found in an empty store")
    store.add([_B, _document("long", (300, 400, 0, 0)), _A])
    found = store.search_dense(_array((50, 0, 0, 0)), 10)
    expect_equal(
        [passage for passage, _ in found], ["a#0", "a#2", "long#0", "b#0", "a#1", "b#1"], "order"
    )
    for (_, score), cosine in zip(found, (1, _HALF, 0.6, 0, 0, -1), strict=True):
        expect(abs(score - cosine) < 1e-5, f"score {score}, expected the cosine {cosine}")
    expect_equal(type(found[0][1]), float, "type of a score")
    expect_equal(_found(store, (1, 0, 0, 0), depth=2), ["a#0", "a#2"], "the first two")
    expect_equal(_found(store, (1, 0, 0, 0), depth=0), [], "none")


def breaks_dense_ties_by_age(store: Store) -> None:
    """Equal cosines keep the order of adding, at the edge of the depth too."""
    store.record_encoder(_RECORD)
    names = [f"{number * 7 % 40:02}" for number in range(40)]
    store.add([_document(id, (0.3, 0.1, 0.2, 0.7)) for id in names])
    store.add([_document("best", (1, 0, 0, 0))])
    store.upsert([_document(names[3], (0.3, 0.1, 0.2, 0.7), digest="2")])
    order = ["best#0", *(f"{id}#0" for id in [*names[:3], *names[4:], names[3]])]
    for depth in (1, 2, 17, 40, 41, 100):
        expect_equal(_found(store, (1, 0, 0, 0), depth), order[:depth], f"the first {depth}")


def forgets_vectors(store: Store) -> None:
    """What is deleted or replaced is found no more, and its old vector nowhere."""
    store.record_encoder(_RECORD)
    store.add([_A, _B])
    _found(store, (1, 0, 0, 0))  # a store may keep what it read now
    store.upsert([_document("a", (0, 0, 0, 1), digest="2")])
    expect_equal(_found(store, (0, 0, 0, 1)), ["a#0", "b#0", "b#1"], "found after upsert")
    expect_equal(store.vectors(["a#0"]).tolist(), [[0, 0, 0, 1]], "the new vector")
    expect_equal(store.delete(["b"]), 1, "deleted")
    expect_equal(_found(store, (0, 0, 1, 0)), ["a#0"], "found after delete")
    expect_error(InvalidInput, partial(store.vectors, ["b#0"]), "a deleted passage's vector")
    store.add([_B])
    expect_equal(_found(store, (0, 0, 1, 0)), ["b#0", "a#0", "b#1"], "found when added again")


def filters_dense_search(store: Store) -> None:
    """Only passages that pass the filter count towards the depth."""
    store.record_encoder(_RECORD)
    store.add([_A, _B])
    cases: Sequence[tuple[Filter, list[str]]] = [
        ({"of": "b"}, ["b#0", "b#1"]),
        ({"n": [1, 2]}, ["a#2", "a#1", "b#1"]),
        ({"of": "a", "n": 1}, ["a#1"]),
        ({"of": []}, []),
        ({"none": 1}, []),
        ({}, ["a#0", "a#2", "a#1", "b#0", "b#1"]),
    ]
    for where, order in cases:
        expect_equal(_found(store, (1, 0, 0, 0), 10, where), order, f"found where {where}")
        expect_equal(_found(store, (1, 0, 0, 0), 1, where), order[:1], f"the best where {where}")
    store.add([_document("c", (1, 1, 0, 0))])
    expect_equal(_found(store, (1, 0, 0, 0), 10, {"of": "c"}), ["c#0"], "found where it is new")


def ends_dense_with_close(store: Store) -> None:
    """Every method for vectors raises StoreError after `close`."""
    store.record_encoder(_RECORD)
    store.add([_A])
    store.close()
    calls: Sequence[Callable[[], object]] = (
        store.encoder,
        partial(store.record_encoder, _RECORD),
        partial(store.search_dense, _array((1, 0, 0, 0)), 1),
        partial(store.vectors, ["a#0"]),
    )
    for call in calls:
        expect_error(StoreError, call, "calling a closed store")


DENSE_CHECKS: tuple[Callable[[Store], None], ...] = (
    keeps_vectors,
    keeps_one_encoder,
    refuses_senseless_vectors,
    finds_by_nearness,
    breaks_dense_ties_by_age,
    forgets_vectors,
    filters_dense_search,
    ends_dense_with_close,
)
