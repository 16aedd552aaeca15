"""StaticEncoder: the mean of a text's token vectors. No model runs, so it is hundreds of times faster.

texts -> Segmenter -> ids -> sum of the tokens' vectors -> mean -> normalise
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.encoders.segment import segmenter
from secondpass.engine.encoders.static_files import StaticFiles
from secondpass.engine.encoders.sums import summing
from secondpass.engine.locate import locate
from secondpass.engine.pairs import listed
from secondpass.engine.scoring import check_finite

TEXTS_AT_ONCE = 512

logger = logging.getLogger(__name__)


class StaticEncoder:
    """Token vectors and a tokenizer. Many threads may use one at the same time.

    All of a text is read, however long. A text without a token that has a vector (a blank one, or
    one in an unknown script) gets a fixed vector of length 1: the axis along which token vectors
    vary least, so that it is near to nothing; how many such texts there were is logged.
    """

    def __init__(self, files: StaticFiles) -> None:
        self.name = ""  # what finds it again, where a name loaded it
        self._files = files
        self._segmenter = segmenter(files.tokenizer, files.unknown)
        self._sums = summing(files.vectors)

    @classmethod
    def load(
        cls, model: str | Path, *, revision: str | None = None, offline: bool = False
    ) -> StaticEncoder:
        """The static encoder in a folder, or of the hub by its name, or the bundled 'static'.

        Reads the form of model2vec and that of sentence-transformers' StaticEmbedding. Raises
        ModelError where the files are missing, broken or no static encoder's.
        """
        return cls(StaticFiles.read(locate(model, revision=revision, offline=offline)))

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return int(self._files.vectors.rows.shape[1])

    @property
    def fingerprint(self) -> str:
        """A name of the vectors, the tokenizer and what is done with them."""
        return self._files.fingerprint

    def encode_queries(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """A vector a query, float32[texts, dimension]; raises InvalidInput for what is no text."""
        return self._encode(listed(texts))

    def encode_passages(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """The same for passages: a static encoder makes no difference."""
        return self._encode(listed(texts))

    @cached_property
    def _nothing(self) -> NDArray[np.float32]:
        # Looked for only where it is needed: it reads all vectors, a fifth of the time of loading.
        vector = np.zeros(self.dimension, dtype=np.float32)
        vector[self._files.vectors.flattest_axis()] = 1
        return vector

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        sums = np.zeros((len(texts), self.dimension), dtype=np.float32)
        counts = np.zeros(len(texts), dtype=np.int32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            part = slice(start, start + TEXTS_AT_ONCE)
            read = [text.lower() for text in texts[part]] if self._files.lowercase else texts[part]
            ids, counts[part] = self._segmenter.ids(read)
            sums[part] = self._sums(ids, counts[part])
        lengths = np.sqrt(np.sum(sums * sums, axis=1))
        empty = lengths == 0
        if empty.any():
            logger.warning(
                "%d of %d texts have no token that the encoder knows, text %d first; they got the "
                "vector that is near to nothing",
                int(empty.sum()),
                len(texts),
                int(empty.argmax()),
            )
            sums[empty] = self._nothing
        divisors = lengths if self._files.normalised else counts.astype(np.float32)
        sums /= np.where(empty, np.float32(1), divisors)[:, None]
        check_finite(sums)
        return sums
