"""An encoder that can be followed by hand: a number for each letter of the alphabet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from secondpass.errors import InvalidInput


class Letters:
    """Counts letters; a text without any has the vector of the letter that no text has."""

    dimension = 27

    def __init__(self, name: str = "letters", fingerprint: str = "letters-1"):
        self.name = name
        self.fingerprint = fingerprint
        self.encoded: list[str] = []
        self.closed = False

    def encode_queries(self, texts: Iterable[str]):
        return self._counted(texts)

    def encode_passages(self, texts: Iterable[str]):
        return self._counted(texts)

    def close(self):
        self.closed = True

    def _counted(self, texts):
        if isinstance(texts, str):
            raise InvalidInput("one text; expected several")
        texts = list(texts)
        vectors = np.zeros((len(texts), 27), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            if not isinstance(text, str):
                raise InvalidInput(f"{text!r} is no text")
            for letter in text.lower():
                vector[ord(letter) - ord("a") if "a" <= letter <= "z" else 26] += 1
            if not text:
                vector[26] = 1
        self.encoded += texts
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
