from __future__ import annotations

import pytest

from hosts.conformance import GUEST_CHECKS, QUERY, TEXTS, Guest
from secondpass.errors import InvalidInput

pt = pytest.importorskip("pyterrier")

import pandas as pd  # noqa: E402

from secondpass.integrations.pyterrier import SecondpassReranker  # noqa: E402


def frame_of(query: str, texts: list[str], qid: str = "q1", column: str = "text") -> pd.DataFrame:
    columns = {
        "qid": [qid] * len(texts),
        "query": [query] * len(texts),
        "docno": [f"d{at}" for at in range(len(texts))],
        "score": [10.0 - at for at in range(len(texts))],
        "rank": list(range(len(texts))),
        column: texts,
    }
    # an index of its own, as a frame has that was filtered
    return pd.DataFrame(columns, index=range(7, 7 + len(texts)))


def guest_of(model) -> Guest:
    def rerank(query: str, texts: list[str]) -> list[tuple[int, float]]:
        given = frame_of(query, texts)
        before = given.copy(deep=True)
        # through the host's own operator
        ranked = (pt.Transformer.from_df(given, uniform=True) >> SecondpassReranker(model))(
            given[["qid", "query"]].drop_duplicates()
        )
        pd.testing.assert_frame_equal(given, before)
        assert list(ranked["rank"]) == list(range(len(texts)))
        return [(int(row["docno"][1:]), row["score"]) for row in ranked.to_dict("records")]

    return Guest(rerank=rerank, score_of=lambda ranked: ranked.score)


@pytest.mark.parametrize("check", GUEST_CHECKS)
def test_guest(check, model):
    check(guest_of(model), model)


def test_each_query_is_ranked_by_itself(model):
    other = "which office opens when?"
    first, second = frame_of(QUERY, TEXTS), frame_of(other, TEXTS[:3], qid="q0")

    ranked = SecondpassReranker(model)(pd.concat([first, second]).sort_values("docno"))

    assert list(ranked["qid"]) == ["q1"] * 5 + ["q0"] * 3
    for qid, query, texts in (("q1", QUERY, TEXTS), ("q0", other, TEXTS[:3])):
        rows = ranked[ranked["qid"] == qid]
        wanted = model.rerank(query, texts)
        assert list(rows["docno"]) == [f"d{line.index}" for line in wanted]
        assert list(rows["score"]) == [line.score for line in wanted]
        assert list(rows["rank"]) == list(range(len(texts)))


def test_other_columns_stay(model):
    frame = frame_of(QUERY, TEXTS, column="body").assign(docid=[9, 8, 7, 6, 5])

    ranked = SecondpassReranker(model, text_field="body")(frame)

    assert set(ranked.columns) == set(frame.columns)
    assert dict(zip(ranked["docno"], ranked["docid"], strict=True)) == dict(
        zip(frame["docno"], frame["docid"], strict=True)
    )


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA])
def test_a_missing_text_is_scored_as_a_blank_one(model, nothing):
    ranked = SecondpassReranker(model)(frame_of(QUERY, [TEXTS[0], nothing]))
    wanted = model.rerank(QUERY, [TEXTS[0], ""])

    assert list(ranked["score"]) == [line.score for line in wanted]


def test_an_empty_frame_gives_an_empty_frame(model):
    ranked = SecondpassReranker(model)(frame_of(QUERY, []))

    assert len(ranked) == 0
    assert {"qid", "query", "docno", "score", "rank", "text"} == set(ranked.columns)


@pytest.mark.parametrize("column", ["query", "text", "docno"])
def test_a_missing_column_is_the_hosts_error(model, column):
    with pytest.raises(pt.validate.InputValidationError):
        SecondpassReranker(model)(frame_of(QUERY, TEXTS).drop(columns=column))


def test_what_is_no_text_is_an_error(model):
    with pytest.raises(InvalidInput, match="text 1"):
        SecondpassReranker(model)(frame_of(QUERY, [TEXTS[0], 42]))


# the sliding windows of the host call what pandas 3.1 deprecates
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")
def test_passages_and_the_best_of_each_document(model):
    body = " ".join(TEXTS)
    frame = frame_of(QUERY, [body, TEXTS[3]], column="body")
    pipeline = (
        pt.text.sliding(text_attr="body", length=12, stride=6, prepend_attr=None)
        >> SecondpassReranker(model, text_field="body")
        >> pt.text.max_passage()
    )

    ranked = pipeline(frame)

    assert sorted(ranked["docno"]) == ["d0", "d1"]


@pytest.mark.filterwarnings("default")
class TestHostKit:
    """The host's own checks of a transformer, as they are."""

    @pytest.fixture
    def case(self, model, monkeypatch):
        # links to the host's documentation, whose list of pages is on the web
        monkeypatch.setattr(pt.documentation, "_cached_objects_inv", {}, raising=False)
        kit = pt.testing.transformer_test_class(lambda: SecondpassReranker(model))
        kit.setUpClass()
        yield kit
        kit.tearDownClass()

    @pytest.mark.parametrize("name", ["test_inspect_io", "test_schematic"])
    def test_passes(self, case, name):
        case(name).debug()
