"""FeedbackExpander: pseudo-relevance feedback. The words that mark the first answers, no model needed.

query -> retriever -> the first answers, against all that were found -> words -> queries
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from secondpass.errors import InvalidInput
from secondpass.protocols import Retriever
from secondpass.types import Candidate, Expansion

ANSWERS, BACKGROUND = 10, 100
WORDS = 4  # that each further query adds
LEAST_PASSAGES = 2  # a word that one answer alone has says what that one is about


class FeedbackExpander:
    """Makes queries of the one that was asked and the words that mark its first answers.

    After the relevance model of Lavrenko and Croft, "Relevance-Based Language Models" (2001), in the
    form that is mixed with the query (RM3): a word counts what the first answers give it, better
    ranks more. Those frequencies are held against the frequencies in all that was found, so that
    common words drop out without statistics of a collection. `terms` gives the words of a text.
    """

    def __init__(
        self,
        retriever: Retriever,
        terms: Callable[[str], list[str]],
        count: int = 3,
        *,
        answers: int = ANSWERS,
    ) -> None:
        if count < 1 or answers < 1:
            raise InvalidInput(f"count={count}, answers={answers}; expected whole numbers from 1")
        self.retriever = retriever
        self.terms = terms
        self.count = count
        self.answers = answers

    def expand(self, query: str) -> Expansion:
        """At most `count` queries, the best words in the first; fewer where few words are left."""
        found = self.retriever.retrieve(query, max(BACKGROUND, self.answers))
        words = self._words(query, found)[: self.count * WORDS]
        groups = [words[at : at + WORDS] for at in range(0, len(words), WORDS)]
        queries = tuple(" ".join((query, *group)) for group in groups)
        failure = None if queries else "the first answers have no words to add"
        return Expansion(queries, "feedback", failure)

    def _words(self, query: str, found: Sequence[Candidate]) -> list[str]:
        """The words that mark the first answers, best first, without those of the query."""
        texts = [Counter(self.terms(one.passage.text_in_context)) for one in found]
        # Of a short list a part must stay behind, or there is nothing to hold the first against.
        first = texts[: min(self.answers, max(1, len(texts) // 2))]
        relevant = _frequencies(first, [1 / rank for rank in range(1, len(first) + 1)])
        common = _frequencies(texts, [1.0] * len(texts))
        holding = Counter(word for text in first for word in text)
        least = min(LEAST_PASSAGES, len(first))
        asked = set(self.terms(query))
        weights = {
            word: share * math.log(share / common[word])
            for word, share in relevant.items()
            if word not in asked and holding[word] >= least and says_something(word)
        }
        best = sorted(weights, key=lambda word: (-weights[word], word))
        return [word for word in best if weights[word] > 0]


def _frequencies(texts: Sequence[Counter[str]], weights: Sequence[float]) -> dict[str, float]:
    """The share of each word in these texts, each text counting by its weight and not its length."""
    shares: dict[str, float] = {}
    whole = math.fsum(weights)
    for text, weight in zip(texts, weights, strict=True):
        length = max(1, text.total())
        for word, count in text.items():
            shares[word] = shares.get(word, 0.0) + weight / whole * count / length
    return shares


def says_something(word: str) -> bool:
    """Whether a word can stand alone: three letters, or two where letters are syllables."""
    return len(word) >= (3 if word.isascii() else 2) and not word.isnumeric()
