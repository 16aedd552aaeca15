from __future__ import annotations

import asyncio

import pytest

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from secondpass.errors import InvalidInput

lancedb = pytest.importorskip("lancedb")

import pyarrow as pa  # noqa: E402
from lancedb.query import MatchQuery  # noqa: E402

from secondpass.integrations.lancedb import SecondpassReranker, words_of  # noqa: E402

FIELDS = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("text", pa.string()),
        pa.field("vector", pa.list_(pa.float32(), 2)),
    ]
)
NEAR = [0.0, 1.0]

# its successor takes other arguments in the oldest version
pytestmark = pytest.mark.filterwarnings("ignore:create_fts_index is deprecated")


@pytest.fixture
def table_of(tmp_path):
    """Makes a table of texts; by vector they are found in their order."""
    database = lancedb.connect(tmp_path / "lance")
    made = []

    def make(texts, *, words: bool = False):
        table = database.create_table(f"texts{len(made)}", schema=FIELDS)
        made.append(table)
        if texts:
            table.add([{"id": i, "text": text, "vector": [i, 1.0]} for i, text in enumerate(texts)])
        if words:
            table.create_fts_index("text")
        return table

    return make


def rows_of(search) -> list[dict]:
    return search.limit(100).to_list()


@pytest.fixture
def guest(model, table_of) -> Guest:
    reranker = SecondpassReranker(model)

    def rerank(query: str, texts: list[str]) -> list[tuple[int, float]]:
        rows = rows_of(table_of(texts).search(NEAR).rerank(reranker, query_string=query))
        assert all(row["text"] == texts[row["id"]] for row in rows)
        return [(row["id"], row["_relevance_score"]) for row in rows]

    return Guest(rerank=rerank, score_of=lambda ranked: ranked.probability)


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_guest(check, guest, model):
    check(guest, model)


def wanted(model, query: str, texts: list[str]) -> list[int]:
    return [line.index for line in model.rerank(query, texts)]


@pytest.mark.parametrize(("return_score", "kept"), [("relevance", set()), ("all", {"_distance"})])
def test_a_search_by_vector(model, table_of, return_score, kept):
    reranker = SecondpassReranker(model, return_score=return_score)

    rows = rows_of(table_of(TEXTS).search(NEAR).rerank(reranker, query_string=QUERY))

    assert [row["id"] for row in rows] == wanted(model, QUERY, TEXTS)
    shown = {name for name in rows[0] if name.startswith("_")} - {"_rowid"}
    assert shown == {"_relevance_score", *kept}


def test_a_search_by_words(model, table_of):
    table = table_of(TEXTS, words=True)

    rows = rows_of(table.search("the panda", query_type="fts").rerank(SecondpassReranker(model)))

    best = [at for at in wanted(model, "the panda", TEXTS) if at in {row["id"] for row in rows}]
    assert [row["id"] for row in rows] == best
    assert 1 <= len(rows) < len(TEXTS)
    assert "_score" not in rows[0]


@pytest.mark.parametrize("return_score", ["relevance", "all"])
def test_a_hybrid_search_has_each_row_once(model, table_of, return_score):
    table = table_of(TEXTS, words=True)
    search = table.search(query_type="hybrid").vector(NEAR).text("the panda")

    rows = rows_of(search.rerank(SecondpassReranker(model, return_score=return_score)))

    assert [row["id"] for row in rows] == wanted(model, "the panda", TEXTS)
    kept = {"_distance", "_score"} if return_score == "all" else set()
    shown = {name for name in rows[0] if name.startswith("_")} - {"_rowid"}
    assert shown == {"_relevance_score", *kept}


def test_a_hybrid_search_that_finds_nothing(model, table_of):
    search = table_of([], words=True).search(query_type="hybrid").vector(NEAR).text("the panda")

    assert rows_of(search.rerank(SecondpassReranker(model))) == []


def test_the_asynchronous_tables_take_it(model, tmp_path):
    async def found() -> list[dict]:
        database = await lancedb.connect_async(tmp_path / "async")
        table = await database.create_table("texts", schema=FIELDS)
        await table.add([{"id": i, "text": t, "vector": [i, 1.0]} for i, t in enumerate(TEXTS)])
        search = table.query().nearest_to(NEAR)
        return await search.rerank(SecondpassReranker(model), query_string=QUERY).to_list()

    assert [row["id"] for row in asyncio.run(found())] == wanted(model, QUERY, TEXTS)


def test_a_null_text_is_scored_as_a_blank_one(model, table_of):
    search = table_of([TEXTS[0], None]).search(NEAR)

    rows = rows_of(search.rerank(SecondpassReranker(model), query_string=QUERY))

    scores = [line.probability for line in model.rerank(QUERY, [TEXTS[0], ""])]
    assert [row["_relevance_score"] for row in rows] == pytest.approx(scores)


def test_a_column_that_is_not_there_is_an_error(model, table_of):
    search = table_of(TEXTS).search(NEAR)

    with pytest.raises(InvalidInput, match="no column 'body'; expected one of id, text"):
        rows_of(search.rerank(SecondpassReranker(model, column="body"), query_string=QUERY))


def test_the_words_of_a_query_that_is_an_object():
    assert words_of(MatchQuery("pandas", "text")) == "pandas"
    with pytest.raises(InvalidInput, match="query_string"):
        words_of(["pandas"])
