"""The values that flow between the layers: documents in, passages, candidates, hits out.

Every value is frozen. Ranks count from 1, indices and character offsets from 0; a span is
half-open. A score is higher for better; which kind of score it is, is said at each field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Scalar = str | int | float | bool
Metadata = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Section:
    """One place within a document: a page of a PDF, or the text under a heading.

    `headings` is the path from the outermost heading to the innermost.
    """

    start: int
    end: int
    page: int | None = None
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """What was loaded: `text` as the source has it, sections in order and without overlap."""

    id: str
    text: str
    title: str = ""
    path: str | None = None
    sections: tuple[Section, ...] = ()
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrievable piece of a document.

    `start` and `end` are offsets into the document's text. `text` is that span, except that lines
    of Chinese, Japanese or Korean which the source broke at a fixed width are joined.
    """

    id: str
    text: str
    document: str
    start: int = 0
    end: int = 0
    title: str = ""
    path: str | None = None
    page: int | None = None
    headings: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)

    @property
    def context(self) -> str:
        """The title and headings that the text itself does not show, outermost first, a line each."""
        first_lines = self.text[:200]
        shown = dict.fromkeys(part for part in (self.title, *self.headings) if part.strip())
        return "\n".join(part for part in shown if part not in first_lines)

    @property
    def text_in_context(self) -> str:
        """The text under its context: what a person would need to understand the text alone."""
        return f"{self.context}\n{self.text}" if self.context else self.text


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document as a store keeps it: its passages in order, and a digest that changes with them.

    `vectors` is float32[passages, dimension], in the order of passages and of length 1, where the
    index has an encoder; None where it has none, or where nobody asked for them.
    """

    id: str
    digest: str
    passages: tuple[Passage, ...]
    vectors: NDArray[np.float32] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class EncoderRecord:
    """What made a store's vectors: `name` finds the encoder again, `fingerprint` tells it apart."""

    name: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Range:
    """A condition on a metadata field: `at_least <= value <= at_most`; None leaves a side open."""

    at_least: Scalar | None = None
    at_most: Scalar | None = None


# Every condition must hold. A plain value asks for equality, a sequence for any of its values, a
# Range for a value between its bounds. A passage that lacks the field does not pass.
Filter = Mapping[str, Scalar | Sequence[Scalar] | Range]


@dataclass(frozen=True, slots=True)
class LegRank:
    """Where one leg of a first stage had a passage: the rank there, from 1, and its score."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that a first stage found, with that stage's score and rank.

    `legs` has, by name, those legs of a hybrid first stage that found it; empty for other stages.
    """

    passage: Passage
    score: float
    rank: int
    legs: Mapping[str, LegRank] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a text: character offsets into it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """One line of a reranker's answer.

    `score` is the raw logit, `probability` its sigmoid. `window` is the piece of
    the text that scored best, None where the whole text was read at once; `windows` counts the
    pieces that were scored. `truncated` says that a part of the text was not read at all. `scored`
    is False where a budget of time ended before this text: it stands below all scored ones, in its
    given order, with the score -inf and the probability 0.
    """

    index: int
    score: float
    probability: float
    window: Window | None = None
    windows: int = 1
    truncated: bool = False
    scored: bool = True


@dataclass(frozen=True, slots=True)
class Hit:
    """A final answer.

    Hits are ordered by `order_score`: the reranker's logit, or, where a pipeline blends, the
    z-scored logit plus the weighted z-scored score of the first stage. `score` stays the raw logit
    and `probability` its sigmoid; without a reranker `score` is the first stage's
    and `probability` is None. Where a budget ended before the reranker reached a candidate,
    `ranked.scored` is False and `order_score` that of the lowest hit that it reached.
    """

    rank: int
    score: float
    probability: float | None
    order_score: float
    first_stage: Candidate
    ranked: Ranked | None = None

    @property
    def passage(self) -> Passage:
        """The passage that the first stage found."""
        return self.first_stage.passage

    @property
    def text(self) -> str:
        """The passage's text."""
        return self.passage.text

    @property
    def document(self) -> str:
        """The id of the document that the passage comes from."""
        return self.passage.document

    @property
    def window(self) -> Window | None:
        """The piece of `text` that scored best; None where the text was read at once."""
        if self.ranked is None or self.ranked.window is None:
            return None
        shift = len(self.passage.text_in_context) - len(self.text)
        best = self.ranked.window
        return Window(max(0, best.start - shift), max(0, best.end - shift))

    @property
    def moved(self) -> int:
        """How many ranks the reranker lifted the passage; negative where it fell."""
        return self.first_stage.rank - self.rank


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do where something is amiss.

    `amiss` is what keeps secondpass, or the model, from working; advice may come without it.
    """

    subject: str
    found: str
    advice: str = ""
    amiss: bool = False
