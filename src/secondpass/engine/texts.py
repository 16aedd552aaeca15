"""How does a text alone become ids? Prompt and text tokenised together, cut, between the specials.

texts -> prompt + text -> ids -> the first that fit -> Row(specials, ids, specials)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, normalizers

from secondpass.engine.batching import Row
from secondpass.engine.pairs import TEXTS_AT_ONCE, as_ids, read_tokenizer, tokenizer_digest
from secondpass.errors import ModelError


class TextTokenizer:
    """A checkpoint's tokenizer, for texts alone. Never changed, so many threads may use it.

    `digest` names the file that it was read from.
    """

    def __init__(self, tokenizer: Tokenizer, digest: str = "") -> None:
        probe = tokenizer.encode("a")
        inside = [at for at, side in enumerate(probe.sequence_ids) if side == 0]
        if not inside or any(probe.type_ids):
            raise ModelError(
                f"the tokenizer encodes a text as {probe.tokens} of the types {probe.type_ids}; "
                "expected specials around it and the type 0; tokenizer.json does not fit a bi-encoder"
            )
        self._tokenizer = tokenizer
        self._before = as_ids(probe.ids[: inside[0]])
        self._after = as_ids(probe.ids[inside[-1] + 1 :])
        self.digest = digest

    @classmethod
    def load(cls, folder: Path, *, vocabulary: int, lower_case: bool) -> TextTokenizer:
        """The tokenizer.json of a checkpoint, lowering texts first if asked; raises ModelError."""
        tokenizer = read_tokenizer(folder, vocabulary=vocabulary)
        if lower_case:
            then = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
            tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *then])
        return cls(tokenizer, tokenizer_digest(folder))

    def rows(self, texts: Sequence[str], *, max_tokens: int) -> tuple[list[Row], list[int]]:
        """A row a text, of at most `max_tokens`, and the numbers of the texts that were cut."""
        room = max_tokens - len(self._before) - len(self._after)
        rows: list[Row] = []
        cut: list[int] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            part = list(texts[start : start + TEXTS_AT_ONCE])
            for encoding in self._tokenizer.encode_batch_fast(part, add_special_tokens=False):
                inside = encoding.ids
                if len(inside) > room:
                    cut.append(len(rows))
                ids = np.concatenate((self._before, as_ids(inside[:room]), self._after))
                rows.append(Row(ids, np.zeros_like(ids)))
        return rows, cut
