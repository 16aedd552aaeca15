"""The words that mark the first answers, in English and in Chinese."""

from __future__ import annotations

import pytest

from secondpass.errors import InvalidInput
from secondpass.expansion import ExpandedRetriever, FeedbackExpander
from secondpass.retrieval import Index
from secondpass.retrieval.stores.memory import MemoryStore
from secondpass.retrieval.words import terms
from secondpass.types import Passage

ABOUT = {
    "panda": [
        "The panda eats bamboo in the mountains of Sichuan.",
        "Bamboo is what the panda of Sichuan lives on.",
        "A panda and its cub in the bamboo of Sichuan.",
    ],
    "office": [f"The office {at} is open for the visitors of the panda shop." for at in range(9)],
    "far": ["Bamboo of Sichuan grows a metre each day."],
}
CHINESE = [
    "大熊猫以竹子为食，生活在四川。",
    "四川的竹子是大熊猫的食物。",
    "办公室周一至周五开放。",
    "办公室的电话号码在门上。",
    "周末办公室关闭。",
]


def indexed(texts):
    index = Index(MemoryStore())
    index.add(Passage(f"p{at}", text, f"d{at}") for at, text in enumerate(texts))
    return index


@pytest.fixture
def index():
    with indexed([text for texts in ABOUT.values() for text in texts]) as index:
        yield index


def test_the_words_that_the_first_answers_share_are_asked_for(index):
    retriever = index.retriever()
    expansion = FeedbackExpander(retriever, terms, 1, answers=3).expand("panda eats")

    (query,) = expansion.queries
    assert expansion.source == "feedback"
    assert query.startswith("panda eats ")
    assert {"bamboo", "sichuan"} <= set(query.split())
    assert not {"the", "of", "office"} & set(query.split())


def test_what_the_query_alone_does_not_find_is_found(index):
    retriever = index.retriever()
    expanded = ExpandedRetriever(retriever, FeedbackExpander(retriever, terms, 1, answers=3))
    (far,) = ABOUT["far"]

    assert far not in [one.passage.text for one in retriever.retrieve("panda eats", 50)]
    assert far in [one.passage.text for one in expanded.retrieve("panda eats", 50)]


def test_chinese_words_are_pairs_of_characters():
    with indexed(CHINESE) as index:
        found = FeedbackExpander(index.retriever(), terms, 2, answers=2).expand("大熊猫 室")
    words = {word for query in found.queries for word in query.split()} - {"大熊猫", "室"}
    assert {"竹子", "四川"} <= words
    assert all(len(word) == 2 for word in words)


def test_no_answers_and_no_words_leave_the_query_alone_and_say_so(index):
    nothing = FeedbackExpander(index.retriever(), terms, 2).expand("zebra")
    assert (nothing.queries, nothing.failure) == ((), "the first answers have no words to add")


def test_words_come_in_the_order_of_their_weight_and_at_most_count_queries(index):
    retriever = index.retriever()
    more = FeedbackExpander(retriever, terms, 5, answers=3).expand("panda").queries
    assert len(more) <= 5
    assert FeedbackExpander(retriever, terms, 1, answers=3).expand("panda").queries == more[:1]
    with pytest.raises(InvalidInput, match="count=0"):
        FeedbackExpander(retriever, terms, 0)
