"""How does a (query, text) pair become ids? Each side is tokenised once and put together by ids.

query -> ids ─┐
              ├─ template of the tokenizer -> Row(ids, types)
texts -> ids ─┘  (windows of a text, where it is longer than the model's reach)

The template ([CLS] a [SEP] b [SEP], <s> a </s></s> b </s>, or any other) is read off the
tokenizer's own encoding of a pair, so that it need not be known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from secondpass.engine.batching import Row
from secondpass.engine.tokenized import TokenizedText
from secondpass.errors import InvalidInput, ModelError

Ids = NDArray[np.int32]
T = TypeVar("T")
PROBE = ("a", "b")
TEXTS_AT_ONCE = 512  # bounds the memory of the tokenizer's own objects, about 100 bytes a token


@dataclass(frozen=True, slots=True, eq=False)
class PairTemplate:
    """The specials around a pair's two sides, and the token type of each part."""

    before: Ids
    between: Ids
    after: Ids
    special_types: tuple[Ids, Ids, Ids]
    side_types: tuple[int, int]

    @classmethod
    def read(cls, tokenizer: Tokenizer) -> PairTemplate:
        """The template of this tokenizer; raises ModelError where a pair has no such form."""
        probe = tokenizer.encode(*PROBE)
        sides = probe.sequence_ids
        a = [at for at, side in enumerate(sides) if side == 0]
        b = [at for at, side in enumerate(sides) if side == 1]
        if not a or not b or a[-1] > b[0] or [*a, *b] != [*_run(a), *_run(b)]:
            raise ModelError(
                f"the tokenizer encodes a pair as {probe.tokens}; expected specials around a first "
                "and a second text; tokenizer.json does not fit a cross-encoder"
            )
        parts = (slice(0, a[0]), slice(a[-1] + 1, b[0]), slice(b[-1] + 1, None))
        before, between, after = (as_ids(probe.ids[part]) for part in parts)
        first, second, third = (as_ids(probe.type_ids[part]) for part in parts)
        return cls(
            before=before,
            between=between,
            after=after,
            special_types=(first, second, third),
            side_types=(probe.type_ids[a[0]], probe.type_ids[b[0]]),
        )

    @property
    def specials(self) -> int:
        """How many tokens of a row are neither the query's nor the text's."""
        return len(self.before) + len(self.between) + len(self.after)

    @property
    def two_sided(self) -> bool:
        """Whether the types mark two sides, 0...0 1...1, neither of which is ever empty."""
        before, between, after = (types.tolist() for types in self.special_types)
        first, second = self.side_types
        types = [*before, first, *between, second, *after]
        return types == sorted(types) and {0, 1} == set(types) == {*before, *between, *after}

    def join(self, query: Ids, text: Ids, *, token_types: int) -> Row:
        """The row of this pair; all types are 0 for a model that has a single token type."""
        ids = np.concatenate((self.before, query, self.between, text, self.after))
        if token_types < 2:
            return Row(ids, np.zeros_like(ids))
        before, between, after = self.special_types
        side_a, side_b = (
            np.full(len(side), kind, dtype=np.int32)
            for side, kind in zip((query, text), self.side_types, strict=True)
        )
        return Row(ids, np.concatenate((before, side_a, between, side_b, after)))


class PairTokenizer:
    """A checkpoint's tokenizer, for one side of a pair at a time. Safe to use from many threads.

    The tokenizer is never changed after `load`: changing truncation or padding while another
    thread encodes is what makes the tokenizers library fail with "Already borrowed".
    """

    def __init__(self, tokenizer: Tokenizer, digest: str = "") -> None:
        self._tokenizer = tokenizer
        self.digest = digest
        self.template = PairTemplate.read(tokenizer)

    @classmethod
    def load(cls, folder: Path, *, vocabulary: int, two_sided: bool = False) -> PairTokenizer:
        """The tokenizer.json of a checkpoint whose embedding table has `vocabulary` rows.

        Raises ModelError, also where the pair should be `two_sided` and its template is not.
        """
        found = cls(read_tokenizer(folder, vocabulary=vocabulary), tokenizer_digest(folder))
        if two_sided and not found.template.two_sided:
            raise ModelError(
                f"'{folder / 'tokenizer.json'}' gives a pair's parts the types "
                f"{[types.tolist() for types in found.template.special_types]} of specials and "
                f"{found.template.side_types} of texts; expected 0 for the query's side and then 1 for "
                "the passage's, as a late-join model reads them; download the model again"
            )
        return found

    def encode(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Each text's ids and character spans, without specials and without any cut."""
        encoded: list[TokenizedText] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            part = list(texts[start : start + TEXTS_AT_ONCE])
            encodings = self._tokenizer.encode_batch(part, add_special_tokens=False)
            encoded.extend(TokenizedText(as_ids(one.ids), one, self.digest) for one in encodings)
        return encoded


def read_tokenizer(folder: Path, *, vocabulary: int) -> Tokenizer:
    """A checkpoint's tokenizer.json, without truncation and padding; raises ModelError."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"'{folder}' has no tokenizer.json; expected a fast tokenizer's file; write one with "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...) of transformers"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise ModelError(f"'{path}' is no readable tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    if size > vocabulary:
        raise ModelError(
            f"'{path}' has {size} tokens, but the model's embedding table {vocabulary} rows; "
            "the files do not belong together"
        )
    return tokenizer


def tokenizer_digest(folder: Path) -> str:
    """A name of what a checkpoint's tokenizer does: the SHA-256 of its tokenizer.json."""
    with (folder / "tokenizer.json").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(positions: Sequence[int]) -> range:
    return range(positions[0], positions[0] + len(positions))


def as_ids(ids: Sequence[int]) -> Ids:
    """Token ids as int32[tokens]."""
    return np.array(ids, dtype=np.int32)


def listed(texts: Iterable[str]) -> list[str]:
    """The texts as a list; raises InvalidInput for what has no order, and for what is no text."""
    given = ordered(texts)
    check_texts(given)
    return given


def ordered(texts: Iterable[T]) -> list[T]:
    """What was given for texts, as a list; raises InvalidInput for what has no order."""
    if isinstance(texts, str | Set | Mapping) or not isinstance(texts, Iterable):
        raise InvalidInput(
            f"texts is a {type(texts).__name__}; expected strings in an order, such as a list"
        )
    return list(texts)


def check_texts(texts: Sequence[str], kind: str = "text") -> None:
    """Raise InvalidInput, with the position, for what is no text that could be encoded."""
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(
                f"{kind} {at} is a {type(text).__name__}; expected str; leave it out or convert it"
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"{kind} {at} holds half of a surrogate pair at character {error.start}; expected "
                "valid Unicode; decode the source again, or with errors='replace'"
            ) from error
