"""Passages in Chroma: embedded in a folder, or on a server.

Passages are records of one collection, with their texts as documents and their metadata as it is,
so that other tools read them too. Chroma's open version ranks no words: they are ours, in a file
beside the embedded database, or in the memory of a process that searches a server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from secondpass.errors import StoreError
from secondpass.retrieval.filters import Condition
from secondpass.retrieval.stores.chroma_client import client_errors, close, connect, is_address
from secondpass.retrieval.stores.chroma_filter import Where, plain_metadata, where_of
from secondpass.retrieval.stores.ledger import LAYOUT_VERSION, Ledger, Span
from secondpass.retrieval.stores.table_store import TableStore
from secondpass.retrieval.stores.tables import (
    DocumentRow,
    Found,
    PassageRow,
    body_of,
    passage_of,
)
from secondpass.retrieval.stores.word_file import WordFile
from secondpass.retrieval.words import ANALYSER_VERSION

if TYPE_CHECKING:
    import numpy as np
    from chromadb import Collection
    from chromadb.api import ClientAPI
    from numpy.typing import NDArray

_NUMBER = "secondpass_number"
_PASSAGE = "secondpass_passage"
_DOCUMENT = "secondpass_document"
_BODY = "secondpass_body"
_LEDGER = "ledger"


class ChromaStore(TableStore):
    """Passages in a Chroma collection, searched by its HNSW index, so dense search is approximate.

    An embedded database is for one process at a time, says Chroma; a server is for many.
    """

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        collection: str = "secondpass",
    ) -> ChromaStore:
        """The store in the database in the folder `path`, or on the server at that address.

        It is made there unless `create` is False. StoreError where there is none, where no server
        answers, and where a collection of this name holds something else.
        """
        client = connect(path, create=create)
        try:
            address = str(path) if is_address(path) else None
            folder = None if address else Path(path).resolve()
            tables = ChromaTables(client, folder, address or str(folder), collection)
            tables.prepare(create=create)
        except BaseException:
            close(client)
            raise
        return cls(tables, folder)


class ChromaTables:
    """Two collections: the passages' under the given name, and the documents' beside it."""

    most = 2**31 - 1
    alone = False

    def __init__(
        self, client: ClientAPI, folder: Path | None, address: str, collection: str
    ) -> None:
        self._client = client
        self._folder = folder
        self._name = collection
        self._side_name = f"{collection}-documents"
        self.place = f"collection '{collection}' in '{address}'"
        self.errors = client_errors()
        self._batch = client.get_max_batch_size()
        self._words: WordFile | None = None
        self._known_side: Collection | None = None

    def prepare(self, *, create: bool) -> None:
        """Make what is missing, or raise StoreError where it may not be made."""
        try:
            names = {one.name for one in self._client.list_collections()}
            if self._side_name in names and self._side().get(ids=[_LEDGER])["ids"]:
                return
            if self._name in names and self._passages().count():
                raise StoreError(
                    f"{self.place} is not an index of ours; expected one, or a name that is free; "
                    "search it with ChromaCollection, or choose another name"
                )
            if not create:
                raise StoreError(
                    f"there is no index in {self.place}; expected one; make it with `secondpass "
                    "index --store chroma`, or correct the path"
                )
            self.arrange(None)
            self._client.get_or_create_collection(self._side_name, embedding_function=None)
            self.save(Ledger(LAYOUT_VERSION, ANALYSER_VERSION).to_text())
        except self.errors as error:
            raise StoreError(
                f"{self.place} could not be opened; expected Chroma to answer; see its message "
                f"({type(error).__name__}: {error})"
            ) from error

    def load(self) -> str:
        """The ledger as it was saved last."""
        found = self._side().get(ids=[_LEDGER], include=["metadatas"])
        return str((found["metadatas"] or [{"": ""}])[0][_BODY])

    def save(self, ledger: str) -> None:
        """Keep the ledger: one record, which Chroma writes as a whole."""
        self._side().upsert(
            ids=[_LEDGER], embeddings=cast(Any, [_spread(0)]), metadatas=[{_BODY: ledger}]
        )

    def arrange(self, dimension: int | None) -> None:
        """Make the passages' collection anew, unless it is for vectors of this dimension already."""
        names = {one.name for one in self._client.list_collections()}
        marked = {"secondpass_dimension": dimension or 0}
        if self._name in names:
            there = self._passages().metadata
            if there is not None and all(there.get(key) == marked[key] for key in marked):
                return
            self._client.delete_collection(self._name)
        self._client.create_collection(
            self._name,
            metadata=marked,
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
        )

    def put(self, documents: Sequence[DocumentRow], passages: Sequence[PassageRow]) -> None:
        """Write rows, as many at a time as Chroma takes."""
        for at in range(0, len(documents), self._batch):
            rows = documents[at : at + self._batch]
            self._side().upsert(
                ids=[_key(row.number) for row in rows],
                embeddings=cast(Any, [_spread(row.number) for row in rows]),
                metadatas=[_document_metadata(row) for row in rows],
            )
        for at in range(0, len(passages), self._batch):
            some = passages[at : at + self._batch]
            vectors = [_spread(one.number) if one.vector is None else one.vector for one in some]
            self._passages().upsert(
                ids=[_key(one.number) for one in some],
                embeddings=cast(Any, vectors),
                documents=[one.passage.text for one in some],
                metadatas=[_passage_metadata(one) for one in some],
            )

    def drop(self, numbers: Sequence[int]) -> None:
        """Remove the rows with these numbers from both collections."""
        for collection in (self._passages(), self._side()):
            collection.delete(ids=[_key(number) for number in numbers])

    def drop_from(self, number: int) -> None:
        """Remove all rows from this number on from both collections."""
        for collection in (self._passages(), self._side()):
            collection.delete(where=where_of((), [{_NUMBER: {"$gte": number}}]))

    def documents(self, span: Span) -> list[DocumentRow]:
        """The documents with these numbers, in order."""
        return self._documents({"$and": _between(span)})

    def documents_named(self, ids: Sequence[str]) -> list[DocumentRow]:
        """The rows with these document ids."""
        return self._documents({_DOCUMENT: {"$in": list(ids)}}) if ids else []

    def passages(self, span: Span, wanted: Sequence[Condition] = ()) -> list[PassageRow]:
        """The passages with these numbers that pass, in order, without vectors."""
        return self._rows(where_of(wanted, _between(span)), vectors=False)

    def passages_named(self, ids: Sequence[str], *, vectors: bool) -> list[PassageRow]:
        """The rows with these passage ids."""
        return self._rows({_PASSAGE: {"$in": list(ids)}}, vectors=vectors) if ids else []

    def nearest(
        self, vector: NDArray[np.float32], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` passages by the cosine, as the HNSW index finds them."""
        there = self._passages()
        found: Any = there.query(
            query_embeddings=cast(Any, [vector]),
            n_results=min(limit, max(1, there.count())),
            where=where_of(wanted),
            include=["metadatas", "distances", "embeddings"],
        )
        rows = zip(*(found[key][0] for key in _COLUMNS), strict=True)
        return [_found(metadata, 1 - far, near) for metadata, far, near in rows]

    def matching(
        self, terms: Sequence[str], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` passages by the BM25 of our own words."""
        if self._words is None:
            beside = self._folder / f"{self._name}-words.db" if self._folder else ":memory:"
            self._words = WordFile(str(beside), str(self._side().id))
        return self._words.matching(self, terms, limit, wanted)

    def bytes_on_disk(self) -> int:
        """The size of an embedded database, other collections and our words included."""
        files = self._folder.rglob("*") if self._folder else ()
        return sum(file.stat().st_size for file in files if file.is_file())

    def flush(self) -> None:
        """Return at once: Chroma has each write in its log before it answers."""

    def close(self) -> None:
        """Let go of the database and the words."""
        if self._words is not None:
            self._words.close()
        close(self._client)

    def _passages(self) -> Collection:
        # Asked for each time: another process may have made it anew, for its encoder.
        return self._client.get_collection(self._name, embedding_function=None)

    def _side(self) -> Collection:
        if self._known_side is None:
            found = self._client.get_collection(self._side_name, embedding_function=None)
            self._known_side = found
        return self._known_side

    def _documents(self, where: Where) -> list[DocumentRow]:
        found = self._side().get(where=where, include=["metadatas"])
        rows = [cast(Any, one) for one in found["metadatas"] or ()]
        documents = [
            DocumentRow(
                one[_NUMBER], one[_DOCUMENT], one["digest"], one.get("path"), one["passages"]
            )
            for one in rows
        ]
        return sorted(documents, key=lambda row: row.number)

    def _rows(self, where: Where | None, *, vectors: bool) -> list[PassageRow]:
        include: Any = ["metadatas", "documents", *(["embeddings"] if vectors else [])]
        found = cast(Any, self._passages().get(where=where, include=include))
        near = found["embeddings"] if vectors else [None] * len(found["ids"])
        rows = [
            PassageRow(one[_NUMBER], passage_of(one[_PASSAGE], text, one[_BODY]), vector)
            for one, text, vector in zip(found["metadatas"], found["documents"], near, strict=True)
        ]
        return sorted(rows, key=lambda row: row.number)


_COLUMNS = ("metadatas", "distances", "embeddings")


def _key(number: int) -> str:
    return f"{number:020}"


def _between(span: Span) -> list[Where]:
    return [{_NUMBER: {"$gte": span.start}}, {_NUMBER: {"$lt": span.end}}]


def _spread(number: int) -> NDArray[np.float32]:
    """A vector for a row that needs none: Chroma wants one, and its index is slow on equal ones."""
    import numpy as np

    angle = number * 2.399963  # the golden angle: no two numbers come together
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def _document_metadata(row: DocumentRow) -> dict[str, Any]:
    path = {} if row.path is None else {"path": row.path}
    known = {_NUMBER: row.number, _DOCUMENT: row.id, "digest": row.digest}
    return known | {"passages": row.passages} | path


def _passage_metadata(row: PassageRow) -> dict[str, Any]:
    ours = {_NUMBER: row.number, _PASSAGE: row.passage.id, _BODY: body_of(row.passage)}
    return plain_metadata(row.passage.metadata) | ours


def _found(metadata: Mapping[str, Any], score: float, vector: NDArray[np.float32]) -> Found:
    passage = passage_of(metadata[_PASSAGE], "", metadata[_BODY])
    return Found(metadata[_NUMBER], passage.id, passage.metadata, score, vector)
