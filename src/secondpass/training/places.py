"""Where do the right texts stand in the index? Found by their letters, in one reading of it.

passages -> hashes of every run of RUN letters -> right texts with such a run in their middle -> is one
really in the other? Middles, for many texts begin alike.

Blanks and line ends do not count, nor do capitals and the several ways to write one letter: a
splitter, a loader and a person copy a text differently.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secondpass.retrieval.index import Index
from secondpass.types import Passage

# What is shorter must be equal: many texts hold a word or a short phrase by chance.
RUN = 24

# An odd number: it has an inverse modulo 2^64, so that one running sum gives every run's hash.
BASE = 0x9E3779B97F4A7C15
INVERSE = pow(BASE, -1, 2**64)

# So many passages are hashed at a time.
AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Place:
    """The passages that are one right text, hold it, or are held by it: document by passage id.

    `equal` is such a passage that is the right text and nothing else.
    """

    passages: Mapping[str, str] = field(default_factory=dict)
    equal: Passage | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where each right text stands, and the document of each passage, in the order of adding."""

    by_text: Mapping[str, Place]
    documents: Mapping[str, str]

    @classmethod
    def find(
        cls,
        rights: Iterable[str],
        index: Index,
        on_progress: Callable[[int], None] | None = None,
    ) -> Places:
        """Look for these texts; `on_progress` is called with the number of passages read so far."""
        search = _Search(rights)
        waiting: list[Passage] = []
        for document in index.documents():
            waiting.extend(document.passages)
            if len(waiting) >= AT_ONCE:
                search.read(waiting)
                waiting = []
                if on_progress is not None:
                    on_progress(len(search.documents))
        search.read(waiting)
        return cls(search.places(index), search.documents)


def letters(text: str) -> str:
    """The text in one normal form, in small letters and without blanks."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def run_hashes(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The hash of each run of RUN characters, uint64[n], and the index of its text, int64[n].

    Equal runs have equal hashes wherever they stand.
    """
    joined = "".join(texts)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    ends = np.cumsum(lengths)
    if len(joined) < RUN:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    powers = _powers(BASE, len(codes))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers)])
    hashes = (sums[RUN:] - sums[:-RUN]) * _powers(INVERSE, len(codes) - RUN + 1)
    owners = np.repeat(np.arange(len(texts)), lengths)[: len(hashes)]
    inside = np.arange(len(hashes)) + RUN <= ends[owners]
    return hashes[inside], owners[inside]


def _among(values: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which values are among the known, which are sorted: `np.isin` would sort them all."""
    if not len(known):
        return np.zeros(len(values), dtype=np.bool_)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.equal(known[at], values)


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers)


class _Search:
    """One reading of an index: what was asked for, and what was met so far."""

    def __init__(self, rights: Iterable[str]) -> None:
        self.rights = list(dict.fromkeys(rights))
        self.normal = [letters(right) for right in self.rights]
        self.documents: dict[str, str] = {}
        self._middles: list[NDArray[np.uint64]] = []
        self._found: list[dict[str, str]] = [{} for _ in self.rights]
        self._equal: list[Passage | None] = [None for _ in self.rights]
        self._by_middle = _by_middle(self.normal)
        self._sorted = np.sort(np.array(list(self._by_middle), dtype=np.uint64))
        self._short: dict[str, list[int]] = defaultdict(list)
        for at, right in enumerate(self.normal):
            if len(right) < RUN:
                self._short[right].append(at)

    def read(self, passages: Sequence[Passage]) -> None:
        """Note which of the right texts these passages hold."""
        bare = [letters(passage.text) for passage in passages]
        whole = [
            letters(passage.text_in_context) if passage.context else text
            for passage, text in zip(passages, bare, strict=True)
        ]
        hashes, owners = run_hashes(whole)
        hit = _among(hashes, self._sorted)
        for value, owner in zip(hashes[hit].tolist(), owners[hit].tolist(), strict=True):
            for at in self._by_middle[value]:
                if self.normal[at] in whole[owner]:
                    self._note(at, passages[owner], self.normal[at] in (bare[owner], whole[owner]))
        for passage, text in zip(passages, bare, strict=True):
            for at in self._short.get(text, ()):
                self._note(at, passage, True)
        self._middles.append(_middles(bare))
        self.documents.update((passage.id, passage.document) for passage in passages)

    def places(self, index: Index) -> dict[str, Place]:
        """Where each right text stands; those passages too that are a part of it."""
        middles = np.concatenate(self._middles)
        order = np.argsort(middles, kind="stable")
        known = middles[order]
        ids = list(self.documents)
        for at, right in enumerate(self.normal):
            hashes, _ = run_hashes([right])
            starts = np.searchsorted(known, hashes, "left")
            ends = np.searchsorted(known, hashes, "right")
            met = {
                ids[order[each]]
                for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
                for each in range(start, end)
            }
            for passage in index.get(sorted(met - self._found[at].keys())):
                if letters(passage.text) in right:
                    self._note(at, passage, False)
        return {
            right: Place(found, equal)
            for right, found, equal in zip(self.rights, self._found, self._equal, strict=True)
        }

    def _note(self, at: int, passage: Passage, equal: bool) -> None:
        self._found[at][passage.id] = passage.document
        if equal and self._equal[at] is None:
            self._equal[at] = passage


def _by_middle(normal: Sequence[str]) -> dict[int, list[int]]:
    """Which texts have the run of this hash in their middle; texts that are shorter are in none."""
    found: dict[int, list[int]] = defaultdict(list)
    for at, value in enumerate(_middles(normal).tolist()):
        if len(normal[at]) >= RUN:
            found[value].append(at)
    return found


def _middles(texts: Sequence[str]) -> NDArray[np.uint64]:
    """The hash of the run in each text's middle, uint64[texts]; 0 for a shorter text."""
    middles = np.zeros(len(texts), dtype=np.uint64)
    long = [at for at, text in enumerate(texts) if len(text) >= RUN]
    starts = [(len(texts[at]) - RUN) // 2 for at in long]
    runs = [texts[at][start : start + RUN] for at, start in zip(long, starts, strict=True)]
    middles[long], _ = run_hashes(runs)
    return middles
