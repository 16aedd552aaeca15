from __future__ import annotations

from dataclasses import replace

import pytest

from secondpass.errors import InvalidInput
from secondpass.retrieval.documents import by_document, check_documents, digest_of
from secondpass.types import IndexedDocument, Passage

PASSAGE = Passage(
    "d#0", "text", "d", 0, 4, "title", "/d.md", 1, ("one", "two"), {"year": 2024, "lang": "en"}
)


def test_neighbours_of_one_document_come_together():
    passages = [Passage(id, "t", document) for id, document in zip("123456", "aabbba", strict=True)]
    runs = [[passage.id for passage in run] for run in by_document(iter(passages))]
    assert runs == [["1", "2"], ["3", "4", "5"], ["6"]]


def test_another_path_or_the_same_passage_again_starts_another_run():
    passages = [
        Passage("1", "t", "a", path="/x"),
        Passage("2", "t", "a", path="/x"),
        Passage("1", "t", "a", path="/y"),
        Passage("1", "t", "a", path="/y"),
    ]
    assert list(by_document(passages)) == [passages[:2], passages[2:3], passages[3:]]


def test_a_run_that_breaks_off_does_not_come():
    def failing():
        yield Passage("1", "t", "a")
        yield Passage("2", "t", "b")
        raise OSError("gone")

    runs = by_document(failing())
    assert [passage.id for passage in next(runs)] == ["1"]
    with pytest.raises(OSError, match="gone"):
        next(runs)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "d#1"},
        {"text": "text "},
        {"start": 1},
        {"end": 5},
        {"title": "Title"},
        {"path": None},
        {"path": ""},
        {"page": None},
        {"headings": ("one two",)},
        {"headings": ()},
        {"metadata": {}},
        {"metadata": {"year": "2024", "lang": "en"}},
        {"metadata": {"year": 2024.0, "lang": "en"}},
    ],
    ids=str,
)
def test_the_digest_changes_with_every_part(change):
    assert digest_of([replace(PASSAGE, **change)]) != digest_of([PASSAGE])


def test_the_digest_depends_on_content_alone():
    reordered = replace(PASSAGE, metadata={"lang": "en", "year": 2024}, headings=["one", "two"])
    assert digest_of([reordered]) == digest_of([PASSAGE])
    assert digest_of([PASSAGE, PASSAGE]) != digest_of([PASSAGE])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "\udc80"}, "a passage id holds half a surrogate pair at character 0"),
        ({"text": "ab\ud83dcd"}, "the text of passage 'd#0' holds half a surrogate pair"),
        ({"title": "\ud800"}, "the title of passage 'd#0'"),
        ({"path": "caf\udce9.txt"}, "the path of passage 'd#0'"),
        ({"headings": ("a", "\ud800")}, "a heading of passage 'd#0'"),
        ({"metadata": {"a": None}}, "metadata field 'a' of passage 'd#0' is of type 'NoneType'"),
        ({"metadata": {"a": ["x"]}}, "metadata field 'a' of passage 'd#0' is of type 'list'"),
        ({"metadata": {"a": float("inf")}}, "expected a finite number"),
        ({"metadata": {"a": 2**64}}, "expected at most 64 bits"),
        ({"metadata": {"a": "x\0"}}, "holds a NUL character"),
        ({"metadata": {3: "x"}}, "a metadata field's name of passage 'd#0' is of type 'int'"),
    ],
    ids=str,
)
def test_what_cannot_be_stored_is_refused_by_name(change, message):
    bad = replace(PASSAGE, **change)
    with pytest.raises(InvalidInput) as refused:
        digest_of([PASSAGE, bad])
    assert message in str(refused.value)
    with pytest.raises(InvalidInput) as refused:
        check_documents([IndexedDocument("d", "", (PASSAGE, bad))])
    assert message in str(refused.value)


def test_a_passage_of_another_document_is_refused():
    with pytest.raises(InvalidInput, match="names document 'd' but came with 'e'"):
        check_documents([IndexedDocument("e", "", (PASSAGE,))])
