"""Conformance suites: what every store, retriever, reranker, encoder and backend must do.

Run them over an implementation of your own, all at once or, for a test each, by the tables:

    check_store(lambda: MyStore.open(new_folder()))
    @pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)

A check raises AssertionError; its docstring says what to mend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from secondpass.errors import EngineError, InvalidInput, SecondpassError, StoreError
from secondpass.protocols import (
    Backend,
    Batch,
    Encoder,
    Reranker,
    Retriever,
    Store,
    VectorBackend,
)
from secondpass.types import Filter, IndexedDocument, Metadata, Passage, Range

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _expect(condition: bool, message: str) -> None:
    # No assert statement: a suite must check under `python -O` too.
    if not condition:
        raise AssertionError(message)


def _expect_equal(found: object, expected: object, what: str) -> None:
    _expect(found == expected, f"{what}: found {found!r}, expected {expected!r}")


def _expect_error(kind: type[SecondpassError], call: Callable[[], object], what: str) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"{what} must raise {kind.__name__}")


# Stores


def _document(id: str, *texts: str, digest: str = "1") -> IndexedDocument:
    def passage(number: int, text: str) -> Passage:
        place: Metadata = {
            "number": number,
            "ratio": number + 0.5,
            "even": number % 2 == 0,
            "of": id,
        }
        title, headings = f"Title of {id}", ("Animals", "Chapter")
        end = number + len(text)
        return Passage(
            f"{id}#{number}", text, id, number, end, title, f"/{id}", number, headings, place
        )

    return IndexedDocument(id, digest, tuple(passage(*numbered) for numbered in enumerate(texts)))


_CATS = _document("cats", "the cat sat", "a cat and another cat", "猫喜欢吃鱼")
_DOGS = _document("dogs", "the dog sat", "no such animal here")


def _found(store: Store, query: str, where: Filter | None = None) -> list[str]:
    return [passage for passage, _ in store.search_lexical(query, 10, where)]


def keeps_what_was_added(store: Store) -> None:
    """Every field of a passage comes back as it went in, documents in the order of adding."""
    store.add([_CATS, _DOGS])
    store.add([_document("empty")])
    store.flush()
    _expect_equal(list(store.documents()), [_CATS, _DOGS, _document("empty")], "documents")
    _expect_equal(store.count(), 5, "count")
    _expect_equal(store.digests(["dogs", "none"]), {"dogs": "1"}, "digests")
    paths = {"cats": "/cats", "dogs": "/dogs", "empty": None}
    _expect_equal(list(store.paths().items()), list(paths.items()), "paths")


def gets_in_the_order_asked(store: Store) -> None:
    """`get` follows the ids it is given, repeats them as they do and leaves out unknown ones."""
    store.add([_CATS, _DOGS])
    wanted = [_DOGS.passages[1], _CATS.passages[0], _DOGS.passages[1]]
    _expect_equal(store.get(["dogs#1", "none", "cats#0", "dogs#1"]), wanted, "get")
    _expect_equal(store.get([]), [], "get of nothing")


def refuses_what_is_there(store: Store) -> None:
    """A call that fails changes nothing: check first, or roll the transaction back."""
    store.add([_CATS])
    _expect_error(InvalidInput, lambda: store.add([_DOGS, _CATS]), "adding a known document")
    thief = IndexedDocument("thief", "1", (Passage("cats#0", "mine", "thief"),))
    _expect_error(InvalidInput, lambda: store.upsert([_DOGS, thief]), "taking a passage's id")
    stray = IndexedDocument("stray", "1", _CATS.passages)
    _expect_error(InvalidInput, lambda: store.add([stray]), "another document's passages")
    _expect_equal(list(store.documents()), [_CATS], "documents")
    _expect_equal(_found(store, "dog"), [], "search")


def replaces_by_upsert(store: Store) -> None:
    """`upsert` leaves nothing of the old version, in the search either; the last of two stays."""
    store.add([_CATS, _DOGS])
    newer = _document("cats", "only birds", digest="2")
    store.upsert([_document("cats", "only fish"), newer, _document("new", "whales")])
    _expect_equal(list(store.documents()), [_DOGS, newer, _document("new", "whales")], "documents")
    _expect_equal(store.digests(["cats"]), {"cats": "2"}, "digests")
    _expect_equal([_found(store, "cat fish"), _found(store, "birds")], [[], ["cats#0"]], "search")


def deletes(store: Store) -> None:
    """`delete` counts the documents that were there, and its passages are found no more."""
    store.add([_CATS, _DOGS])
    _expect_equal(store.delete(["cats", "none", "cats"]), 1, "deleted")
    _expect_equal((store.count(), _found(store, "cat"), store.get(["cats#0"])), (2, [], []), "rest")
    store.add([_CATS])
    _expect_equal(sorted(_found(store, "cat")), ["cats#0", "cats#1"], "found when added again")


def finds_by_words(store: Store) -> None:
    """More of a rare word is better; titles, headings and single Chinese characters count."""
    store.add([_DOGS, _CATS])
    _expect_equal(_found(store, "cat"), ["cats#1", "cats#0"], "English")
    _expect_equal([_found(store, "喜欢"), _found(store, "鱼")], [["cats#2"], ["cats#2"]], "Chinese")
    _expect_equal(len(_found(store, "CHAPTER")), 5, "words of headings, in any case")
    _expect_equal([_found(store, "xyzzy"), _found(store, "?!")], [[], []], "nothing to find")
    scores = [score for _, score in store.search_lexical("the cat sat", 10)]
    _expect(scores == sorted(scores, reverse=True) and scores[-1] > 0, f"scores: {scores}")


def breaks_ties_by_age(store: Store) -> None:
    """Equal scores keep the order of adding, and a smaller depth gives a prefix."""
    store.add([_document(id, "same words") for id in ("b", "a", "c")])
    _expect_equal(_found(store, "same"), ["b#0", "a#0", "c#0"], "order of equals")
    prefix = [passage for passage, _ in store.search_lexical("same", 2)]
    _expect_equal(prefix, ["b#0", "a#0"], "the first two")


def filters_by_metadata(store: Store) -> None:
    """All conditions hold; flags, numbers and texts differ; a missing field does not pass."""
    store.add([_CATS, _DOGS])
    cases: Sequence[tuple[Filter, int]] = [
        ({}, 5),
        ({"of": "cats"}, 3),
        ({"of": ["cats", "dogs"], "number": 0}, 2),
        ({"of": []}, 0),
        ({"number": Range(1, 1.5)}, 2),
        ({"number": Range(at_least=1)}, 3),
        ({"of": Range("cats", "cow")}, 3),
        ({"ratio": 0.5, "even": True}, 2),
        ({"even": 1}, 0),
        ({"number": True}, 0),
        ({"number": "1"}, 0),
        ({"of": Range(0)}, 0),
        ({"none": Range()}, 0),
    ]
    for where, count in cases:
        _expect_equal(store.count(where), count, f"count where {where}")
        _expect_equal(len(_found(store, "title", where)), count, f"found where {where}")


def ends_with_close(store: Store) -> None:
    """Every method raises StoreError after `close`, which may be called twice."""
    store.add([_CATS])
    store.close()
    store.close()
    for write in (store.add, store.upsert):
        _expect_error(StoreError, partial(write, [_DOGS]), "writing to a closed store")
    for method in (store.delete, store.get, store.digests):
        _expect_error(StoreError, partial(method, ["cats"]), "calling a closed store")
    for call in (store.count, store.flush, store.documents, store.paths):
        _expect_error(StoreError, call, "reading a closed store")
    _expect_error(StoreError, partial(store.search_lexical, "cat", 1), "searching a closed store")


STORE_CHECKS: tuple[Callable[[Store], None], ...] = (
    keeps_what_was_added,
    gets_in_the_order_asked,
    refuses_what_is_there,
    replaces_by_upsert,
    deletes,
    finds_by_words,
    breaks_ties_by_age,
    filters_by_metadata,
    ends_with_close,
)


def check_store(open_store: Callable[[], Store]) -> None:
    """Run every store check, each on a store of its own; `open_store` gives an empty one."""
    for check in STORE_CHECKS:
        store = open_store()
        try:
            check(store)
        finally:
            store.close()


# Retrievers


def ranks_best_first(retriever: Retriever, query: str) -> None:
    """Sort by score before cutting, count ranks from 1, and give each passage once."""
    found = retriever.retrieve(query, 50)
    _expect(len(found) >= 3, f"the query must find three passages or more, found {len(found)}")
    scores = [candidate.score for candidate in found]
    _expect(scores == sorted(scores, reverse=True), f"scores do not descend: {scores}")
    _expect_equal([one.rank for one in found], list(range(1, len(found) + 1)), "ranks")
    _expect_equal(len({one.passage.id for one in found}), len(found), "different passages")


def cuts_at_depth(retriever: Retriever, query: str) -> None:
    """A smaller depth is a prefix of a larger one, and the same call answers the same."""
    found = retriever.retrieve(query, 3)
    _expect_equal(retriever.retrieve(query, 2), found[:2], "the first two of three")
    _expect_equal(retriever.retrieve(query, 3), found, "the same call again")


def refuses_senseless_calls(retriever: Retriever, query: str) -> None:
    """A blank query and a depth below 1 are the caller's mistakes: raise InvalidInput."""
    for asked, depth in (("", 5), (" \t\n\u3000", 5), (query, 0), (query, -1)):
        call = partial(retriever.retrieve, asked, depth)
        _expect_error(InvalidInput, call, f"retrieving {asked!r} to depth {depth}")


RETRIEVER_CHECKS: tuple[Callable[[Retriever, str], None], ...] = (
    ranks_best_first,
    cuts_at_depth,
    refuses_senseless_calls,
)


def check_retriever(retriever: Retriever, query: str) -> None:
    """Run every retriever check; the query must find at least three passages."""
    for check in RETRIEVER_CHECKS:
        check(retriever, query)


# Rerankers


_TEXTS = (
    "The giant panda is a bear species endemic to China.",
    "",
    "大熊猫是中国特有的一种熊科动物。",
    "a bear",
    "naïve 👩‍👧 e\u0301\u200b text\x00 with\r\nodd\tcharacters",
    "a bear",
    "because " * 3000,
)


def ranks_every_text(reranker: Reranker) -> None:
    """Each text once, best first, ties by index; blank, odd and very long texts like any other."""
    lines = reranker.rerank("what is a panda?", _TEXTS)
    _expect_equal(sorted(line.index for line in lines), list(range(len(_TEXTS))), "indices")
    order = [(-line.score, line.index) for line in lines]
    _expect(order == sorted(order), f"order: {order}")
    by_index = {line.index: line.score for line in lines}
    _expect_equal(by_index[3], by_index[5], "scores of two equal texts")


def gives_a_prefix_for_top_k(reranker: Reranker) -> None:
    """`top_k` cuts the whole order; one that is larger than the number of texts cuts nothing."""
    lines = reranker.rerank("what is a panda?", _TEXTS)
    for top_k in (1, 3, len(_TEXTS), 100):
        found = reranker.rerank("what is a panda?", _TEXTS, top_k)
        _expect_equal(found, lines[:top_k], f"top_k={top_k}")


def scores_regardless_of_company(reranker: Reranker) -> None:
    """A text alone, and the texts in another order, have the same scores."""
    scores = {line.index: line.score for line in reranker.rerank("a panda?", _TEXTS)}
    for index in (0, 2):
        (alone,) = reranker.rerank("a panda?", [_TEXTS[index]])
        _expect(abs(alone.score - scores[index]) < 1e-5, f"text {index} alone: {alone.score}")
    last = len(_TEXTS) - 1
    turned = {last - line.index: line.score for line in reranker.rerank("a panda?", _TEXTS[::-1])}
    for index, score in scores.items():
        _expect(abs(turned[index] - score) < 1e-5, f"text {index} turned: {turned[index]}")


def gives_plain_numbers(reranker: Reranker) -> None:
    """JSON takes a score and a probability as they are, and a probability lies in 0..1."""
    for line in reranker.rerank("a panda?", _TEXTS[:3]):
        _expect_equal((type(line.score), type(line.probability)), (float, float), "types")
        _expect(0 <= line.probability <= 1, f"probability: {line.probability}")


def handles_nothing_and_nonsense(reranker: Reranker) -> None:
    """No texts give no lines; a blank query and a top_k below 1 are the caller's mistakes."""
    _expect_equal(reranker.rerank("a panda?", []), [], "no texts")
    for query, top_k in (("", None), (" \n", None), ("panda", 0), ("panda", -1)):
        call = partial(reranker.rerank, query, ["a bear"], top_k)
        _expect_error(InvalidInput, call, f"reranking for {query!r} with top_k={top_k}")


RERANKER_CHECKS: tuple[Callable[[Reranker], None], ...] = (
    ranks_every_text,
    gives_a_prefix_for_top_k,
    scores_regardless_of_company,
    gives_plain_numbers,
    handles_nothing_and_nonsense,
)


def check_reranker(reranker: Reranker) -> None:
    """Run every reranker check."""
    for check in RERANKER_CHECKS:
        check(reranker)


# Encoders


def check_encoder(encoder: Encoder) -> None:
    """A vector a text, of that text alone, for odd texts too, and a name of what made it."""
    for encode in (encoder.encode_queries, encoder.encode_passages):
        found = encode(_TEXTS)
        shape = ("float32", (len(_TEXTS), encoder.dimension))
        _expect_equal((str(found.dtype), found.shape), shape, "type and shape")
        _expect(bool((abs(found) < 1e6).all()), f"vectors: {found}")
        _expect_equal(encode(_TEXTS[::-1]).tolist()[::-1], found.tolist(), "in another order")
        _expect_equal(encode(iter(_TEXTS[2:3])).tolist(), found[2:3].tolist(), "a text alone")
        _expect_equal(encode([]).shape, (0, encoder.dimension), "no texts")
        for wrong in ("one text", [None]):
            call = partial(encode, wrong)  # type: ignore[arg-type]
            _expect_error(InvalidInput, call, f"encoding {wrong!r}")
    _expect(bool(encoder.fingerprint), "the fingerprint is empty")


# Backends


def _batch(*rows: Sequence[int]) -> Batch:
    import numpy as np

    ids = np.array([token for row in rows for token in row], dtype=np.int32)
    return Batch(ids, np.zeros_like(ids), np.array([len(row) for row in rows], dtype=np.int32))


def _results(backend: Backend | VectorBackend) -> Callable[[Batch], NDArray[np.float32]]:
    return backend.encode if isinstance(backend, VectorBackend) else backend.forward


def gives_one_result_a_row(backend: Backend | VectorBackend) -> None:
    """float32[rows] of logits or float32[rows, hidden] of vectors, finite, the same when repeated."""
    run, rows = _results(backend), ([2, 4, 3], [2, 4, 5, 6, 3], [2, 3])
    found = run(_batch(*rows))
    shape = (3, *found.shape[1:]) if isinstance(backend, VectorBackend) else (3,)
    _expect_equal((str(found.dtype), found.shape), ("float32", shape), "type and shape")
    _expect(bool((abs(found) < 1e6).all()), f"results: {found}")
    _expect_equal(run(_batch(*rows)).tolist(), found.tolist(), "the same batch again")
    _expect_equal(run(_batch()).shape, (0, *shape[1:]), "an empty batch")


def keeps_rows_apart(backend: Backend | VectorBackend) -> None:
    """A row has the same logit or vector, to the last bit, alone and in any company and order."""
    run = _results(backend)
    rows = [[2, 4 + number % 5, *[5 + number % 3] * (number % 17), 3] for number in range(40)]
    together = run(_batch(*rows)).tolist()
    alone = [run(_batch(row))[0].tolist() for row in rows]
    _expect_equal(together, alone, "rows together and alone")
    _expect_equal(run(_batch(*rows[::-1])).tolist()[::-1], together, "rows in another order")


def ends_when_closed(backend: Backend | VectorBackend) -> None:
    """`forward` and `encode` raise EngineError after `close`, which may be called twice."""
    backend.close()
    backend.close()
    _expect_error(EngineError, partial(_results(backend), _batch([2, 3])), "a closed backend")


BACKEND_CHECKS: tuple[Callable[[Backend | VectorBackend], None], ...] = (
    gives_one_result_a_row,
    keeps_rows_apart,
    ends_when_closed,
)


def check_backend(build: Callable[[], Backend | VectorBackend]) -> None:
    """Run every check, each on a backend of its own of a model with ten tokens or more."""
    for check in BACKEND_CHECKS:
        backend = build()
        try:
            check(backend)
        finally:
            backend.close()
