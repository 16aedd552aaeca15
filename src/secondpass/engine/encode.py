"""What does the model read for these pairs? Rows of ids, with where each one comes from.

pairs -> each query and text tokenised once -> windows of long texts -> rows, by the template
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.batching import Row
from secondpass.engine.outliers import CALIBRATION
from secondpass.engine.pairs import PairTokenizer
from secondpass.engine.spec import ModelSpec
from secondpass.engine.tokenized import Text, TokenizedText
from secondpass.engine.windows import plan_windows
from secondpass.errors import InvalidInput
from secondpass.types import Window

LEAST_TEXT_TOKENS = 16  # a query must leave the text at least this much of a row
LongTexts = Literal["windows", "truncate"]


@dataclass(frozen=True, slots=True)
class Reach:
    """How much of a text the model reads at once.

    `max_tokens` is the longest row that the model takes, `window_tokens` the row length that a
    long text is cut for, `overlap` the tokens that neighbouring windows share.
    """

    max_tokens: int
    window_tokens: int
    overlap: int
    long_texts: LongTexts

    def room(self, query_tokens: int, specials: int) -> int:
        """Tokens of text a row takes beside this query, which is itself never cut.

        A long query may widen the row beyond `window_tokens`, so that at least half a window
        remains for the text. Raises InvalidInput where the query fills the model.
        """
        used = query_tokens + specials
        if used + LEAST_TEXT_TOKENS > self.max_tokens:
            raise InvalidInput(
                f"the query has {query_tokens} tokens, the model takes {self.max_tokens} for query "
                f"and text; expected at most {self.max_tokens - specials - LEAST_TEXT_TOKENS}; "
                "shorten the query: it is never cut silently"
            )
        return min(self.max_tokens, max(self.window_tokens, used + self.window_tokens // 2)) - used


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPairs:
    """Rows for the model; row r belongs to pair `owners[r]` and reads `windows[r]` of its text.

    `windows[r]` is None where the row reads its text whole. `truncated` holds the pairs of whose
    text a part is in no row.
    """

    rows: list[Row]
    owners: list[int]
    windows: list[Window | None]
    truncated: set[int]


def encode_pairs(
    pairs: Sequence[tuple[str, Text]], tokenizer: PairTokenizer, reach: Reach, token_types: int
) -> EncodedPairs:
    """The rows of all pairs, in the order of pairs and of windows within a text."""
    queries = _encode_once([query for query, _ in pairs], tokenizer)
    texts = _encode_once([text for _, text in pairs if isinstance(text, str)], tokenizer)
    encoded = EncodedPairs([], [], [], set())
    template = tokenizer.template
    for owner, (query, text) in enumerate(pairs):
        query_ids = queries[query].ids
        tokens = texts[text] if isinstance(text, str) else text
        room = reach.room(len(query_ids), template.specials)
        spans = plan_windows(len(tokens.ids), room=room, overlap=min(reach.overlap, room // 2))
        whole = len(spans) == 1
        if reach.long_texts == "truncate" and not whole:
            spans = spans[:1]
            encoded.truncated.add(owner)
        offsets = None if whole else tokens.spans  # read once a text: it is a copy
        for start, end in spans:
            row = template.join(query_ids, tokens.ids[start:end], token_types=token_types)
            encoded.rows.append(row)
            encoded.owners.append(owner)
            encoded.windows.append(None if offsets is None else _characters(offsets, start, end))
    return encoded


def calibration_rows(tokenizer: PairTokenizer, spec: ModelSpec) -> list[Row]:
    """A few rows of this model's kind, for looking at its activations."""
    pairs = [(query, text) for query in CALIBRATION[::2] for text in CALIBRATION[1::2]]
    reach = Reach(spec.max_tokens, spec.max_tokens, 0, "truncate")
    return encode_pairs(pairs, tokenizer, reach, spec.token_types).rows


def _encode_once(texts: Sequence[str], tokenizer: PairTokenizer) -> dict[str, TokenizedText]:
    unique = list(dict.fromkeys(texts))
    return dict(zip(unique, tokenizer.encode(unique), strict=True))


def _characters(spans: NDArray[np.int32], start: int, end: int) -> Window:
    return Window(int(spans[start, 0]), int(spans[end - 1, 1]))
