"""The SQLite store with its vectors in a FAISS index beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from secondpass.retrieval.filters import conditions
from secondpass.retrieval.stores import rows
from secondpass.retrieval.stores.sqlite import SqliteStore, record_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from secondpass.retrieval.stores.faiss_file import FaissFile
    from secondpass.types import Filter


class FaissStore(SqliteStore):
    """Passages, words and vectors in one SQLite file; FAISS searches the vectors, exactly.

    `INDEX.faiss` beside the file is written by `flush` and `close`. It is a cache: what it lacks
    after a crash is taken from the SQLite file, which other stores and processes may use meanwhile.
    """

    _file: FaissFile

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = True) -> Self:
        """The store in the file at `path`, as `SqliteStore.open` opens it."""
        from secondpass.retrieval.stores.faiss_file import FaissFile, faiss

        faiss()
        place = Path(path).resolve()
        opened = super().open(place, create=create)
        opened._file = FaissFile(place.with_name(f"{place.name}.faiss"))
        return opened

    def search_dense(
        self, vector: NDArray[np.float32], depth: int, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """At most `depth` (passage id, cosine), best first; ties by the order of adding.

        The first call reads the index into memory; later calls add what others have written since.
        """
        from secondpass.retrieval.vectors import unit_query

        wanted = conditions(where)
        with self._connections.reading() as connection:
            query = unit_query(vector, record_of(connection))
            found = self._file.nearest(connection, query, depth, wanted)
            return [(rows.passage_id(connection, number), score) for number, score in found]

    def flush(self) -> None:
        """Write the FAISS index, and the postings beside a large file."""
        super().flush()
        self._save()

    def _save(self) -> None:
        with self._connections.reading() as connection:
            self._file.save(connection)

    def close(self) -> None:
        """Write the FAISS index and release everything. Closing twice is allowed."""
        if not self._connections.is_closed:
            self._save()
        super().close()
