"""Texts that need no tokenising any more: an index may keep their ids beside the passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from secondpass.errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedText:
    """A text's ids without specials, int32[tokens], and for each the characters it stands for.

    `offsets` are those characters, int32[tokens, 2], or the tokenizer's own object that they are
    read from when a long text asks for them. `tokenizer` is the digest of the tokenizer.json that
    made the ids: those of another one would score something else than the text.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int32] | Encoding
    tokenizer: str = ""

    @property
    def spans(self) -> NDArray[np.int32]:
        """The characters of each token, int32[tokens, 2], half-open."""
        if isinstance(self.offsets, Encoding):
            return np.array(self.offsets.offsets, dtype=np.int32).reshape(-1, 2)
        return self.offsets

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenizedText):
            return NotImplemented
        return self.tokenizer == other.tokenizer and np.array_equal(self.ids, other.ids)

    def __hash__(self) -> int:
        return hash((self.tokenizer, self.ids.tobytes()))


Text = str | TokenizedText


def size_of(text: Text) -> int:
    """About how many bytes the text has: a token stands for about four."""
    return len(text.encode()) if isinstance(text, str) else 4 * len(text.ids)


def check_tokenized(texts: Sequence[Text], *, tokenizer: str, vocabulary: int) -> None:
    """Raise InvalidInput, with the position, for ids that this model's tokenizer did not make."""
    for at, text in enumerate(texts):
        if not isinstance(text, TokenizedText):
            continue
        if text.tokenizer != tokenizer:
            raise InvalidInput(
                f"text {at} was tokenised by '{text.tokenizer:.12}', not by this model's tokenizer "
                f"'{tokenizer:.12}'; its ids stand for other words here; tokenise it with `tokenize` of "
                "this model, or pass it as str"
            )
        ids = text.ids
        whole = isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype == np.int32
        if not whole or np.any((ids < 0) | (ids >= vocabulary)):
            raise InvalidInput(
                f"text {at} has ids that are no int32[tokens] from 0 to {vocabulary - 1}; expected what "
                "`tokenize` of this model gave"
            )
        if not isinstance(text.offsets, Encoding) and text.offsets.shape != (len(ids), 2):
            raise InvalidInput(
                f"text {at} has offsets of shape {text.offsets.shape} for {len(ids)} ids; expected "
                f"({len(ids)}, 2), as `tokenize` gave them"
            )
