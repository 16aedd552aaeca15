"""Which lists make a step? As many as fill a budget of tokens, of mixed lengths, by the seed alone.

lists -> tokens, each query and text once -> plan_steps: numbers of lists -> rows -> chunks, padded

Within a step rows are sorted by length and go through the model in chunks, so that little is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.batching import Row, plan_batches
from secondpass.engine.encode import LEAST_TEXT_TOKENS, Reach
from secondpass.engine.pairs import TEXTS_AT_ONCE, PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.training.lists import TrainingList

CHUNKS = 4  # of a step: more pad less, fewer keep a device busier
UNTOLD = np.zeros(0, dtype=np.float32)

Ids = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows that go through the model together: int64[rows, longest], padded on the right.

    `types` is None for a model that is not handed any.
    """

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    types: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """The lists of one step, as rows: text t has row `places[t]` of the chunks laid end to end.

    Texts are counted through the lists, one list after another; `sizes` says how many each has.
    """

    chunks: list[Chunk]
    places: NDArray[np.int64]
    sizes: list[int]
    labels: list[Floats]
    scores: list[Floats]  # a teacher's, float32[0] for a list without


class EncodedLists:
    """Training lists as tokens: each distinct text is tokenised and kept once.

    What a row holds is what the engine would read, but that a long text ends where the row does;
    `cut` counts such texts. Lists whose query leaves no room for a text are not here, and are
    counted by `left_out`.
    """

    def __init__(
        self,
        lists: Sequence[TrainingList],
        tokenizer: PairTokenizer,
        spec: ModelSpec,
        max_tokens: int,
        on_text: Callable[[int, int], None] | None = None,
    ) -> None:
        self.template = tokenizer.template
        self.spec = spec
        self.reach = Reach(spec.max_tokens, max_tokens, 0, "truncate")
        texts = dict.fromkeys(text for one in lists for text in (one.query, *one.texts))
        self._tokens = _tokenised(list(texts), tokenizer, on_text)
        most = spec.max_tokens - self.template.specials - LEAST_TEXT_TOKENS
        self.lists = [one for one in lists if len(self._tokens[one.query]) <= most]
        self.left_out = len(lists) - len(self.lists)
        self.lengths = [self._lengths(one) for one in self.lists]
        self.cut = sum(
            len(self._tokens[text]) > self._room(one.query)
            for one in self.lists
            for text in one.texts
        )

    def __len__(self) -> int:
        return len(self.lists)

    @property
    def tokens(self) -> list[int]:
        """How many tokens the rows of each list have."""
        return [int(lengths.sum()) for lengths in self.lengths]

    def rows(self) -> Iterator[Row]:
        """The rows of every list, one after another."""
        return (self._row(one.query, text) for one in self.lists for text in one.texts)

    def step(self, numbers: Sequence[int], *, chunk_tokens: int) -> Step:
        """The lists of these numbers, in this order, in chunks of about so many tokens."""
        lists = [self.lists[number] for number in numbers]
        rows = [self._row(one.query, text) for one in lists for text in one.texts]
        lengths = [len(row.ids) for row in rows]
        planned = plan_batches(lengths, max_tokens=chunk_tokens)
        return Step(
            chunks=[padded([rows[at] for at in batch], self.spec) for batch in planned],
            places=np.argsort([at for batch in planned for at in batch]),
            sizes=[len(one.texts) for one in lists],
            labels=[np.array(one.labels, dtype=np.float32) for one in lists],
            scores=[
                UNTOLD if one.scores is None else np.array(one.scores, dtype=np.float32)
                for one in lists
            ],
        )

    def _room(self, query: str) -> int:
        return self.reach.room(len(self._tokens[query]), self.template.specials)

    def _lengths(self, one: TrainingList) -> NDArray[np.int64]:
        room = self._room(one.query)
        around = len(self._tokens[one.query]) + self.template.specials
        return np.array([around + min(len(self._tokens[text]), room) for text in one.texts])

    def _row(self, query: str, text: str) -> Row:
        inside = self._tokens[text][: self._room(query)]
        return self.template.join(self._tokens[query], inside, token_types=self.spec.token_types)


def padded(rows: Sequence[Row], spec: ModelSpec) -> Chunk:
    """The rows in this order, as long as the longest of them."""
    longest = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), longest), spec.padding_id or 0, dtype=np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)] = row.ids
        mask[at, : len(row.ids)] = 1
        types[at, : len(row.ids)] = row.types
    return Chunk(ids, mask, types if spec.token_types > 1 else None)


def plan_steps(
    tokens: Sequence[int], *, batch_tokens: int, epochs: int, steps: int | None, seed: int
) -> list[list[int]]:
    """The lists of every step of a run, by their numbers; list n has `tokens[n]` tokens.

    Each epoch has every list once, in an order of its own that `seed` decides, whatever the lists'
    lengths. No step has more than `batch_tokens`, but that a list which is longer gets a step of its
    own. `steps` ends the run early.
    """
    planned: list[list[int]] = []
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(tokens))
        planned.extend(filled([int(at) for at in order], tokens, batch_tokens))
        if steps is not None and len(planned) >= steps:
            return planned[:steps]
    return planned


def filled(order: Sequence[int], tokens: Sequence[int], budget: int) -> Iterator[list[int]]:
    """The numbers of `order`, in that order, as parts of at most `budget` tokens or one list."""
    step: list[int] = []
    used = 0
    for number in order:
        if step and used + tokens[number] > budget:
            yield step
            step, used = [], 0
        step.append(number)
        used += tokens[number]
    if step:
        yield step


def _tokenised(
    texts: Sequence[str],
    tokenizer: PairTokenizer,
    on_text: Callable[[int, int], None] | None,
) -> dict[str, Ids]:
    """The ids of each text; a part at a time, for the tokenizer's own objects are large."""
    tokens: dict[str, Ids] = {}
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        part = texts[start : start + TEXTS_AT_ONCE]
        tokens.update(zip(part, (one.ids for one in tokenizer.encode(part)), strict=True))
        if on_text is not None:
            on_text(len(tokens), len(texts))
    return tokens
