"""What every store must do with passages and words; `dense.py` has what it must do with vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from secondpass.errors import InvalidInput, StoreError
from secondpass.protocols import Store
from secondpass.testing.dense import DENSE_CHECKS
from secondpass.testing.expect import expect, expect_equal, expect_error
from secondpass.types import Filter, IndexedDocument, Metadata, Passage, Range


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
    expect_equal(list(store.documents()), [_CATS, _DOGS, _document("empty")], "documents")
    expect_equal(store.count(), 5, "count")
    expect_equal(store.digests(["dogs", "none"]), {"dogs": "1"}, "digests")
    paths = {"cats": "/cats", "dogs": "/dogs", "empty": None}
    expect_equal(list(store.paths().items()), list(paths.items()), "paths")


def gets_in_the_order_asked(store: Store) -> None:
    """`get` follows the ids it is given, repeats them as they do and leaves out unknown ones."""
    store.add([_CATS, _DOGS])
    wanted = [_DOGS.passages[1], _CATS.passages[0], _DOGS.passages[1]]
    expect_equal(store.get(["dogs#1", "none", "cats#0", "dogs#1"]), wanted, "get")
    expect_equal(store.get([]), [], "get of nothing")


def refuses_what_is_there(store: Store) -> None:
    """A call that fails changes nothing: check first, or roll the transaction back."""
    store.add([_CATS])
    expect_error(InvalidInput, lambda: store.add([_DOGS, _CATS]), "adding a known document")
    thief = IndexedDocument("thief", "1", (Passage("cats#0", "mine", "thief"),))
    expect_error(InvalidInput, lambda: store.upsert([_DOGS, thief]), "taking a passage's id")
    stray = IndexedDocument("stray", "1", _CATS.passages)
    expect_error(InvalidInput, lambda: store.add([stray]), "another document's passages")
    expect_equal(list(store.documents()), [_CATS], "documents")
    expect_equal(_found(store, "dog"), [], "search")


def replaces_by_upsert(store: Store) -> None:
    """`upsert` leaves nothing of the old version, in the search either; the last of two stays."""
    store.add([_CATS, _DOGS])
    newer = _document("cats", "only birds", digest="2")
    store.upsert([_document("cats", "only fish"), newer, _document("new", "whales")])
    expect_equal(list(store.documents()), [_DOGS, newer, _document("new", "whales")], "documents")
    expect_equal(store.digests(["cats"]), {"cats": "2"}, "digests")
    expect_equal([_found(store, "cat fish"), _found(store, "birds")], [[], ["cats#0"]], "search")


def deletes(store: Store) -> None:
    """`delete` counts the documents that were there, and its passages are found no more."""
    store.add([_CATS, _DOGS])
    expect_equal(store.delete(["cats", "none", "cats"]), 1, "deleted")
    expect_equal((store.count(), _found(store, "cat"), store.get(["cats#0"])), (2, [], []), "rest")
    store.add([_CATS])
    expect_equal(sorted(_found(store, "cat")), ["cats#0", "cats#1"], "found when added again")


def finds_by_words(store: Store) -> None:
    """More of a rare word is better; titles, headings and single Chinese characters count."""
    store.add([_DOGS, _CATS])
    expect_equal(_found(store, "cat"), ["cats#1", "cats#0"], "English")
    expect_equal([_found(store, "喜欢"), _found(store, "鱼")], [["cats#2"], ["cats#2"]], "Chinese")
    expect_equal(len(_found(store, "CHAPTER")), 5, "words of headings, in any case")
    expect_equal([_found(store, "xyzzy"), _found(store, "?!")], [[], []], "nothing to find")
    scores = [score for _, score in store.search_lexical("the cat sat", 10)]
    expect(scores == sorted(scores, reverse=True) and scores[-1] > 0, f"scores: {scores}")


def breaks_ties_by_age(store: Store) -> None:
    """Equal scores keep the order of adding, and a smaller depth gives a prefix."""
    store.add([_document(id, "same words") for id in ("b", "a", "c")])
    expect_equal(_found(store, "same"), ["b#0", "a#0", "c#0"], "order of equals")
    prefix = [passage for passage, _ in store.search_lexical("same", 2)]
    expect_equal(prefix, ["b#0", "a#0"], "the first two")


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
        expect_equal(store.count(where), count, f"count where {where}")
        expect_equal(len(_found(store, "title", where)), count, f"found where {where}")


def ends_with_close(store: Store) -> None:
    """Every method raises StoreError after `close`, which may be called twice."""
    store.add([_CATS])
    store.close()
    store.close()
    for write in (store.add, store.upsert):
        expect_error(StoreError, partial(write, [_DOGS]), "writing to a closed store")
    for method in (store.delete, store.get, store.digests):
        expect_error(StoreError, partial(method, ["cats"]), "calling a closed store")
    for call in (store.count, store.flush, store.documents, store.paths):
        expect_error(StoreError, call, "reading a closed store")
    expect_error(StoreError, partial(store.search_lexical, "cat", 1), "searching a closed store")


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
    *DENSE_CHECKS,
)


def check_store(open_store: Callable[[], Store]) -> None:
    """Run every store check, each on a store of its own; `open_store` gives an empty one."""
    for check in STORE_CHECKS:
        store = open_store()
        try:
            check(store)
        finally:
            store.close()
