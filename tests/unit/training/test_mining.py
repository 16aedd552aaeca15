"""Mining over real small indexes: nothing right among the negatives, and each filter at work."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondpass.engine import CrossEncoder, load_encoder
from secondpass.errors import InvalidInput
from secondpass.library import Index
from secondpass.protocols import Encoder
from secondpass.retrieval.index import Index as Collection
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.training import Mining, Pairs, mine, read_lists, read_pairs
from secondpass.types import Passage

ANIMALS = {
    "panda": "bamboo",
    "koala": "eucalyptus",
    "otter": "fish",
    "camel": "grass",
    "熊猫": "竹子",
}
FACTS = (
    "The {animal} eats {food} in the morning and sleeps through the hot hours of the day.",
    "People like to watch the {animal} in the zoo, where it is fed with {food} by its keepers.",
    "A young {animal} stays with its mother until it finds {food} without her help.",
)


def passages() -> list[Passage]:
    """Three passages a document and animal, under a title; their words are largely the same."""
    return [
        Passage(f"{animal}-{at}", fact.format(animal=animal, food=food), animal, title=f"On {food}")
        for animal, food in ANIMALS.items()
        for at, fact in enumerate(FACTS)
    ]


def pair(animal: str, at: int = 0) -> tuple[str, str]:
    fact = FACTS[at].format(animal=animal, food=ANIMALS[animal])
    return f"What does the {animal} eat?", fact


PAIRS = Pairs.of(pair(animal) for animal in ANIMALS)


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Iterator[Index]:
    with Index.open(tmp_path_factory.mktemp("mining") / "my.index") as opened:
        opened.add(passages())
        yield opened


@pytest.fixture(scope="module")
def static() -> Encoder:
    return load_encoder("static")


@pytest.fixture(scope="module")
def teacher() -> Iterator[CrossEncoder]:
    with CrossEncoder.load() as loaded:
        yield loaded


EVERYTHING = Mining(negatives=50, strangers=0, margin=-1e9, near_duplicate=1, same_document=True)


def mined(index, out, pairs=PAIRS, **options):
    report = mine(pairs, index, out / "out.jsonl", **options)
    return list(read_lists(out / "out.jsonl")), report


def negatives(one) -> set[str]:
    return {text for text, label in zip(one.texts, one.labels, strict=True) if label == 0}


def in_context(animal: str, at: int = 0) -> str:
    return f"On {ANIMALS[animal]}\n{pair(animal, at)[1]}"


def test_each_query_gets_its_right_text_and_wrong_ones(index, tmp_path):
    lists, report = mined(index, tmp_path, mining=Mining(negatives=4, strangers=1))

    assert [one.query for one in lists] == [one.query for one in PAIRS.questions]
    known = {one.text_in_context for one in passages()}
    for one, animal in zip(lists, ANIMALS, strict=True):
        assert one.texts[0] == in_context(animal)  # under its title, as the negatives are
        assert set(one.texts) <= known
        assert len(set(one.texts)) == len(one.texts) == len(one.scores)
        assert one.labels == (1, *(0 for _ in one.texts[1:]))
        own = {in_context(animal, at) for at in range(3)}
        assert not negatives(one) & own  # neither right nor of its document
    assert report.lists == 5
    assert report.negatives + report.strangers == sum(len(one.texts) - 1 for one in lists)
    assert report.rights == {"passage": 5, "part": 0, "absent": 0}
    assert (report.legs, report.teacher) == (("lexical", "dense"), "mixture")
    assert not any(report.dropped.values())


def test_the_same_document_is_refused_unless_it_is_to_be_kept(index, tmp_path):
    kept, all_kept = mined(index, tmp_path, mining=EVERYTHING)
    dropped, report = mined(index, tmp_path, mining=replace(EVERYTHING, same_document=False))

    assert [len(negatives(one)) for one in kept] == [14] * 5
    assert [len(negatives(one)) for one in dropped] == [12] * 5
    assert report.refused["same_document"] == 10
    assert all_kept.refused["same_document"] == 0
    assert in_context("panda", 1) in negatives(kept[0]) - negatives(dropped[0])


def test_what_the_mixture_puts_above_the_right_text_is_refused(index, tmp_path):
    everything, _ = mined(index, tmp_path, mining=EVERYTHING)
    below = sorted(one.scores[0] - score for one in everything for score in one.scores[1:])
    refused = []
    for margin in (-1e9, below[len(below) // 4], below[len(below) // 2]):
        lists, report = mined(index, tmp_path, mining=replace(EVERYTHING, margin=margin))
        for one, whole in zip(lists, everything, strict=True):
            expected = {
                text
                for text, score in zip(whole.texts[1:], whole.scores[1:], strict=True)
                if score <= whole.scores[0] - margin
            }
            assert negatives(one) == expected
        assert report.refused["margin"] == sum(
            len(whole.texts) - len(one.texts) for one, whole in zip(lists, everything, strict=True)
        )
        refused.append(report.refused["margin"])
    assert refused[0] == 0 < refused[1] < refused[2]


def test_near_duplicates_are_refused(static, tmp_path):
    right = pair("panda")[1]
    twin = right.replace("morning", "evening")
    with Collection(MemoryStore(), static) as index:
        index.add([*passages(), Passage("twin", twin, "elsewhere")])
        pairs = Pairs.of([pair("panda")])

        (with_twin,), _ = mined(index, tmp_path, pairs, mining=EVERYTHING)
        sharp = replace(EVERYTHING, near_duplicate=0.75)
        (without,), report = mined(index, tmp_path, pairs, mining=sharp)

    assert twin in negatives(with_twin)
    assert twin not in negatives(without)
    assert report.refused["near_duplicate"] == 1


def test_what_holds_a_right_text_or_is_a_part_of_it_is_right(static, tmp_path):
    right = pair("panda")[1]
    more = [
        Passage("whole", f"First of all. {right} So it is.", "elsewhere"),
        Passage("beside", "Koala and camel stand beside it.", "elsewhere"),
        Passage("part", right[:50], "elsewhere too"),
    ]
    with Collection(MemoryStore(), static) as index:
        index.add([*passages(), *more])
        (one,), report = mined(index, tmp_path, Pairs.of([pair("panda")]), mining=EVERYTHING)
        dropping = replace(EVERYTHING, same_document=False)
        (other,), _ = mined(index, tmp_path, Pairs.of([pair("panda")]), mining=dropping)

    assert not {more[0].text, more[2].text} & negatives(one)
    assert more[1].text in negatives(one) - negatives(other)  # its document has the right text
    assert report.refused["right"] == 3


def test_what_another_line_says_is_right_is_no_negative(index, tmp_path):
    query, right = pair("panda")
    both = Pairs.of([(query, right), (query.upper(), pair("koala")[1])])

    (alone,), _ = mined(index, tmp_path, Pairs.of([(query, right)]), mining=EVERYTHING)
    (one,), _ = mined(index, tmp_path, both, mining=EVERYTHING)

    assert in_context("koala") in negatives(alone)
    assert one.texts[:2] == (in_context("panda"), in_context("koala"))
    assert one.labels[:3] == (1, 1, 0)
    assert in_context("koala") not in negatives(one)


def test_negatives_come_from_the_window_of_ranks(index, tmp_path):
    everything, _ = mined(index, tmp_path, mining=EVERYTHING)
    window = replace(EVERYTHING, first_rank=3, last_rank=6)
    lists, _ = mined(index, tmp_path, mining=window)

    for one, whole in zip(lists, everything, strict=True):
        assert negatives(one) <= negatives(whole)
        assert 3 <= len(negatives(one)) <= 4  # one of the four ranks may be the right text's
        assert max(one.scores[1:]) < max(whole.scores[1:])


def test_a_model_judges_and_scores(index, teacher, tmp_path):
    everything, free = mined(index, tmp_path, mining=EVERYTHING, teacher=teacher)
    below = sorted(one.scores[0] - score for one in everything for score in one.scores[1:])
    middle = len(below) // 2
    margin = (below[middle - 1] + below[middle]) / 2  # between two, where rounding decides nothing
    assert below[middle] - below[middle - 1] > 1e-3
    wanted = replace(EVERYTHING, negatives=3, margin=margin)
    lists, report = mined(index, tmp_path, mining=wanted, teacher=teacher)

    found = {one.query: one for one in lists}
    for whole in everything:
        exact = teacher.score([(whole.query, text) for text in whole.texts])
        assert whole.scores == pytest.approx(exact.tolist(), abs=1e-4)
        fit = {
            text
            for text, score in zip(whole.texts, whole.scores, strict=True)
            if score <= whole.scores[0] - margin
        }
        # What is refused is replaced while there is something else.
        taken = negatives(found[whole.query]) if fit else set()
        assert taken <= fit
        assert len(taken) == min(3, len(fit))
    assert free.refused["margin"] == 0 < report.refused["margin"]
    assert report.teacher == "model"


def test_words_alone_without_vectors(tmp_path):
    with Collection(MemoryStore()) as index:
        index.add(passages())
        lists, report = mined(index, tmp_path, mining=Mining(negatives=3, strangers=1))
        absent, told = mined(index, tmp_path, Pairs.of([("panda?", "It is not in the index.")]))

    assert report.legs == ("lexical",)
    assert all(one.scores for one in lists)
    assert absent[0].scores is None  # nothing knows how good the right text is
    assert told.rights == {"passage": 0, "part": 0, "absent": 1}


def test_an_absent_right_text_is_scored_by_its_vector(index, tmp_path):
    lists, report = mined(
        index, tmp_path, Pairs.of([("panda food?", "Pandas live on bamboo shoots alone.")])
    )

    assert lists[0].scores[0] > 0
    assert report.rights["absent"] == 1


def test_an_equal_call_makes_an_equal_file_whatever_the_block_and_the_company(
    index, tmp_path, monkeypatch
):
    wanted = Mining(negatives=2, strangers=2)
    first, _ = mined(index, tmp_path, mining=wanted)
    monkeypatch.setattr("secondpass.training.mining.BLOCK", 2)
    monkeypatch.setattr("secondpass.training.candidates.MOST_THREADS", 1)
    backwards = replace(PAIRS, questions=PAIRS.questions[::-1])
    second, _ = mined(index, tmp_path, backwards, mining=wanted)
    other, _ = mined(index, tmp_path, mining=replace(wanted, seed=1))

    assert second[::-1] == first
    assert other != first


def test_queries_without_a_negative_are_counted_and_none_at_all_is_an_error(tmp_path):
    with Collection(MemoryStore()) as index:
        index.add([Passage("a", "The panda eats bamboo.", "a"), Passage("b", "大熊猫", "b")])
        pairs = Pairs.of([("panda?", "The panda eats bamboo."), ("bamboo 大熊猫", "大熊猫")])
        hard = Mining(strangers=0, margin=-9)

        lists, report = mined(index, tmp_path, pairs, mining=hard)
        with pytest.raises(InvalidInput, match=r"none of 1 queries .* right 1, .*; expected"):
            mine(Pairs(pairs.questions[:1], 1), index, tmp_path / "none.jsonl", mining=hard)

    assert [one.query for one in lists] == ["bamboo 大熊猫"]
    assert report.dropped["no_negative"] == 1
    assert not (tmp_path / "none.jsonl").exists()


def test_no_pairs_and_an_empty_index_are_errors(index, tmp_path):
    with pytest.raises(InvalidInput, match="no query has a right text"):
        mine(Pairs((), 0), index, tmp_path / "out.jsonl")
    with Collection(MemoryStore()) as empty, pytest.raises(InvalidInput, match="none of 5"):
        mine(PAIRS, empty, tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_no_file(index, tmp_path):
    def interrupt(so_far):
        if so_far.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(PAIRS, index, tmp_path / "out.jsonl", on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_progress_reaches_the_end(index, tmp_path, monkeypatch):
    monkeypatch.setattr("secondpass.training.mining.BLOCK", 2)
    told = []

    mine(PAIRS, index, tmp_path / "out.jsonl", on_progress=told.append)

    assert [(one.done, one.queries, one.passages) for one in told] == [
        (2, 5, 15),
        (4, 5, 15),
        (5, 5, 15),
    ]


WORDS = st.lists(st.sampled_from("panda koala otter eats bamboo the 熊 猫".split()), min_size=1)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(WORDS.map(" ".join), min_size=1, max_size=8),
    asked=st.lists(st.tuples(WORDS.map(" ".join), st.integers(0, 9)), min_size=1, max_size=4),
    seed=st.integers(0, 3),
)
def test_no_right_text_is_ever_among_the_negatives(static, tmp_path, texts, asked, seed):
    pairs = Pairs.of((query, texts[at] if at < len(texts) else "elsewhere") for query, at in asked)
    right = {one.query: set(one.rights) for one in pairs.questions}
    with Collection(MemoryStore(), static) as index:
        index.add(Passage(f"p{at}", text, f"d{at // 2}") for at, text in enumerate(texts))
        try:
            report = mine(pairs, index, tmp_path / "out.jsonl", mining=Mining(seed=seed))
        except InvalidInput:
            return  # none of the queries has a negative
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == report.lists == len(pairs.questions) - report.dropped["no_negative"]
    for record in map(json.loads, lines):
        wrong = {
            text for text, label in zip(record["texts"], record["labels"], strict=True) if not label
        }
        assert wrong
        assert not wrong & right[record["query"]]
        assert wrong <= set(texts)


def test_the_bundled_data_s_own_lists_are_read_back(index, tmp_path, shared_data):
    """Real pairs of both languages, their texts in an index: what came of each query is told."""
    chosen = random.Random(5)
    for name in ("covid", "howtocook_zh"):
        pairs = read_pairs(shared_data / "train" / f"{name}.jsonl.gz")
        some = Pairs(tuple(chosen.sample(pairs.questions, 60)), 60)
        rights = dict.fromkeys(right for one in pairs.questions for right in one.rights)
        with Collection(MemoryStore()) as own:
            own.add(
                Passage(f"p{at}", right, f"d{at}") for at, right in enumerate(list(rights)[:300])
            )
            lists, report = mined(own, tmp_path, some)
        assert len(lists) + report.dropped["no_negative"] == 60
        assert sum(report.rights.values()) == len({one for q in some.questions for one in q.rights})
