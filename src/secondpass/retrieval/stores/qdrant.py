"""Passages in Qdrant: on a server, or in the local mode of its client, for tests and small things.

The lexical leg is Qdrant's own: a sparse vector a passage, of our own terms with the weights that
BM25 gives their occurrences, which Qdrant multiplies by inverse frequencies. So a server is all that
its readers need, and any script is searched by the terms that other stores have.
"""

from __future__ import annotations

import math
import os
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import MissingExtra, StoreError
from secondpass.retrieval.bm25 import saturation
from secondpass.retrieval.filters import Condition, kind_of
from secondpass.retrieval.stores.ledger import LAYOUT_VERSION, Ledger, Span
from secondpass.retrieval.stores.table_store import TableStore
from secondpass.retrieval.stores.tables import DocumentRow, Found, PassageRow, body_of, passage_of
from secondpass.retrieval.words import ANALYSER_VERSION, terms
from secondpass.types import Passage, Range

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient
    from qdrant_client.models import SparseVector

# The mean number of terms of a passage cannot be known before all are there; BM25 hardly minds.
_MEAN_TERMS = 150

_LEDGER = 2**63 - 1
_PAGE = 10_000
_PLAIN_FIELD = re.compile(r"[\w-]+")


class QdrantStore(TableStore):
    """Passages in a Qdrant collection; dense search is as exact as its HNSW index.

    Local mode lets one process in, reads everything into memory, and keeps points as pickles: open
    no folder in it that a stranger made.
    """

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        collection: str = "secondpass",
        api_key: str | None = None,
    ) -> QdrantStore:
        """The store on the server at the address `path`, or in that folder in local mode.

        It is made there unless `create` is False. StoreError where there is none, where no server
        answers, and where a collection of this name holds something else.
        """
        try:
            from qdrant_client import QdrantClient
        except ImportError as error:
            raise MissingExtra("store 'qdrant'", "qdrant") from error
        address = str(path) if str(path).startswith(("http://", "https://")) else None
        folder = None if address else Path(path).resolve()
        if folder and not create and not (folder / "meta.json").is_file():
            raise StoreError(
                f"there is no Qdrant database in '{folder}'; expected the folder of one; correct the "
                "path"
            )
        try:
            client = (
                QdrantClient(url=address, api_key=api_key)
                if address
                else QdrantClient(path=str(folder))
            )
        except _errors() as error:
            raise StoreError(
                f"'{path}' cannot be opened as a Qdrant database; expected a server's address, or a "
                f"folder that no other process has open; see Qdrant's message ({error})"
            ) from error
        try:
            tables = QdrantTables(client, folder, address or str(folder), collection)
            tables.prepare(create=create)
        except BaseException:
            client.close()
            raise
        return cls(tables, folder)


class QdrantTables:
    """Two collections: the passages' under the given name, and the documents' beside it."""

    most = 2**31 - 1

    def __init__(
        self, client: QdrantClient, folder: Path | None, address: str, collection: str
    ) -> None:
        self._client = client
        self._folder = folder
        self._name = collection
        self._side = f"{collection}-documents"
        self.place = f"collection '{collection}' in '{address}'"
        self.errors = _errors()
        self.alone = folder is not None

    def prepare(self, *, create: bool) -> None:
        """Make what is missing, or raise StoreError where it may not be made."""
        try:
            there = self._client.collection_exists(self._side)
            if there and self._client.retrieve(self._side, [_LEDGER]):
                return
            if self._client.collection_exists(self._name) and self._client.count(self._name).count:
                raise StoreError(
                    f"{self.place} is not an index of ours; expected one, or a name that is free; "
                    "choose another name"
                )
            if not create:
                raise StoreError(
                    f"there is no index in {self.place}; expected one; make it with `secondpass "
                    "index --store qdrant`, or correct the path"
                )
            self.arrange(None)
            if not there:
                self._client.create_collection(self._side, vectors_config={})
                self._index_fields(self._side, {"number": "integer", "document": "keyword"})
            self.save(Ledger(LAYOUT_VERSION, ANALYSER_VERSION).to_text())
        except self.errors as error:
            raise StoreError(
                f"{self.place} could not be opened; expected Qdrant to answer; see its message "
                f"({type(error).__name__}: {error})"
            ) from error

    def load(self) -> str:
        """The ledger as it was saved last."""
        found = self._client.retrieve(self._side, [_LEDGER])
        return str((found[0].payload or {})["ledger"]) if found else ""

    def save(self, ledger: str) -> None:
        """Keep the ledger: one point, which Qdrant writes as a whole."""
        from qdrant_client.models import PointStruct

        point = PointStruct(id=_LEDGER, vector={}, payload={"ledger": ledger})
        self._client.upsert(self._side, [point])

    def arrange(self, dimension: int | None) -> None:
        """Make the passages' collection anew, unless it is for vectors of this dimension already."""
        from qdrant_client.models import Distance, Modifier, SparseVectorParams, VectorParams

        if self._client.collection_exists(self._name):
            known: Any = self._client.get_collection(self._name).config.params.vectors or {}
            if (known["dense"].size if "dense" in known else None) == dimension:
                return
            self._client.delete_collection(self._name)
        # Vectors come at length 1; with COSINE Qdrant would alter their last digits.
        dense = {"dense": VectorParams(size=dimension, distance=Distance.DOT)} if dimension else {}
        self._client.create_collection(
            self._name,
            vectors_config=dense,
            sparse_vectors_config={"words": SparseVectorParams(modifier=Modifier.IDF)},
        )
        self._index_fields(self._name, {"number": "integer", "passage": "keyword"})

    def put(self, documents: Sequence[DocumentRow], passages: Sequence[PassageRow]) -> None:
        """Write rows."""
        from qdrant_client.models import PointStruct

        if documents:
            points = [
                PointStruct(id=row.number, vector={}, payload=_document_payload(row))
                for row in documents
            ]
            self._client.upsert(self._side, points)
        if passages:
            self._client.upsert(self._name, [_point(row) for row in passages])

    def drop(self, numbers: Sequence[int]) -> None:
        """Remove the rows with these numbers from both collections."""
        for collection in (self._name, self._side):
            self._client.delete(collection, list(numbers))

    def drop_from(self, number: int) -> None:
        """Remove all rows from this number on from both collections."""
        from qdrant_client.models import FieldCondition, Filter, FilterSelector
        from qdrant_client.models import Range as Bounds

        after = FieldCondition(key="number", range=Bounds(gte=number))
        for collection in (self._name, self._side):
            self._client.delete(collection, FilterSelector(filter=Filter(must=[after])))

    def documents(self, span: Span) -> list[DocumentRow]:
        """The documents with these numbers, in order."""
        return self._documents([_between(span)])

    def documents_named(self, ids: Sequence[str]) -> list[DocumentRow]:
        """The rows with these document ids."""
        return self._documents([_any_of("document", ids)]) if ids else []

    def passages(self, span: Span, wanted: Sequence[Condition] = ()) -> list[PassageRow]:
        """The passages with these numbers that pass, in order, without vectors."""
        return self._rows([_between(span), *_conditions(wanted)], vectors=False)

    def passages_named(self, ids: Sequence[str], *, vectors: bool) -> list[PassageRow]:
        """The rows with these passage ids."""
        return self._rows([_any_of("passage", ids)], vectors=vectors) if ids else []

    def nearest(
        self, vector: NDArray[np.float32], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` passages by the cosine, as Qdrant finds them."""
        return self._search(vector.tolist(), "dense", limit, wanted)

    def matching(
        self, terms: Sequence[str], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` passages by BM25, as Qdrant counts it."""
        from qdrant_client.models import SparseVector

        numbers = sorted({_number_of(term) for term in terms})
        query = SparseVector(indices=numbers, values=[1.0] * len(numbers))
        return self._search(query, "words", limit, wanted)

    def bytes_on_disk(self) -> int:
        """The size of a local folder."""
        files = self._folder.rglob("*") if self._folder else ()
        return sum(file.stat().st_size for file in files if file.is_file())

    def flush(self) -> None:
        """Return at once: Qdrant has each write in its log before it answers."""

    def close(self) -> None:
        """Let go of the database."""
        self._client.close()

    def _index_fields(self, collection: str, fields: dict[str, Any]) -> None:
        for field, kind in fields.items() if self._folder is None else ():
            self._client.create_payload_index(collection, field, field_schema=kind)

    def _scroll(self, collection: str, must: list[Any], vectors: Any) -> list[Any]:  # noqa: ANN401
        from qdrant_client.models import Filter

        found: list[Any] = []
        offset: Any = None
        while True:
            page, offset = self._client.scroll(
                collection,
                scroll_filter=Filter(must=must),
                limit=_PAGE,
                offset=offset,
                with_vectors=vectors,
            )
            found += page
            if offset is None:
                return sorted(found, key=lambda point: point.id)

    def _documents(self, must: list[Any]) -> list[DocumentRow]:
        found = [point.payload for point in self._scroll(self._side, must, False)]
        return [
            DocumentRow(one["number"], one["document"], one["digest"], one["path"], one["passages"])
            for one in found
        ]

    def _rows(self, must: list[Any], *, vectors: bool) -> list[PassageRow]:
        points = self._scroll(self._name, must, ["dense"] if vectors else False)
        return [PassageRow(point.id, _passage(point.payload), _vector(point)) for point in points]

    def _search(
        self, query: list[float] | SparseVector, using: str, limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        from qdrant_client.models import Filter

        must = _conditions(wanted)
        answer = self._client.query_points(
            self._name,
            query=query,
            using=using,
            query_filter=Filter(must=must) if must else None,
            limit=limit,
            with_payload=["passage", "body"],
            with_vectors=["dense"] if using == "dense" else False,
        )
        found = []
        for point in answer.points:
            payload: Any = point.payload
            passage = passage_of(payload["passage"], "", payload["body"])
            number = int(point.id)
            found.append(Found(number, passage.id, passage.metadata, point.score, _vector(point)))
        return found


def _errors() -> tuple[type[Exception], ...]:
    import sqlite3

    from qdrant_client.http.exceptions import ApiException

    return ApiException, ValueError, RuntimeError, sqlite3.Error, OSError


def _point(row: PassageRow) -> Any:  # noqa: ANN401  # types of qdrant_client, which may be absent
    from qdrant_client.models import PointStruct, SparseVector

    passage = row.passage
    found = terms(passage.text_in_context)
    weights: dict[int, float] = {}
    for term, occurrences in Counter(found).items():
        number = _number_of(term)
        weight = saturation(occurrences, len(found), _MEAN_TERMS)
        weights[number] = weights.get(number, 0.0) + weight
    numbers = sorted(weights)
    words = SparseVector(indices=numbers, values=[weights[number] for number in numbers])
    vector: dict[str, Any] = {"words": words}
    if row.vector is not None:
        vector["dense"] = row.vector.tolist()
    payload = {
        "number": row.number,
        "passage": passage.id,
        "text": passage.text,
        "body": body_of(passage),
        "metadata": dict(passage.metadata),
    }
    return PointStruct(id=row.number, vector=vector, payload=payload)


def _number_of(term: str) -> int:
    # Of a million terms a hundred share a number with another: 32 bits are what Qdrant has.
    return zlib.crc32(term.encode())


def _document_payload(row: DocumentRow) -> dict[str, Any]:
    known = {"number": row.number, "document": row.id, "digest": row.digest}
    return known | {"path": row.path, "passages": row.passages}


def _passage(payload: Any) -> Passage:  # noqa: ANN401
    return passage_of(payload["passage"], payload["text"], payload["body"])


def _vector(point: Any) -> NDArray[np.float32] | None:  # noqa: ANN401
    import numpy as np

    dense = (point.vector or {}).get("dense")
    return None if dense is None else np.asarray(dense, dtype=np.float32)


def _between(span: Span) -> Any:  # noqa: ANN401
    from qdrant_client.models import FieldCondition
    from qdrant_client.models import Range as Bounds

    return FieldCondition(key="number", range=Bounds(gte=span.start, lt=span.end))


def _any_of(field: str, values: Sequence[str]) -> Any:  # noqa: ANN401
    from qdrant_client.models import FieldCondition, MatchAny

    return FieldCondition(key=field, match=MatchAny(any=list(values)))


def _conditions(wanted: Sequence[Condition]) -> list[Any]:
    """What Qdrant is asked: all that passes does so there too. Ranges of texts are left out."""
    from qdrant_client.models import FieldCondition, Filter, MatchValue
    from qdrant_client.models import Range as Bounds

    def bounded(key: str, low: Any, high: Any) -> Any:  # noqa: ANN401
        # Qdrant's bounds are floats: one of a larger number goes to the next float beyond it.
        low = None if low is None else _float(low, -math.inf)
        high = None if high is None else _float(high, math.inf)
        return FieldCondition(key=key, range=Bounds(gte=low, lte=high))

    must: list[Any] = []
    for one in wanted:
        if not _PLAIN_FIELD.fullmatch(one.field):
            continue
        key = f"metadata.{one.field}"
        if isinstance(one.values, Range):
            low, high = (
                None if bound is None or kind_of(bound) != "number" else bound
                for bound in (one.values.at_least, one.values.at_most)
            )
            must += [] if low is None and high is None else [bounded(key, low, high)]
            continue
        texts = [value for value in one.values if isinstance(value, str)]
        any_of = [_any_of(key, texts)] if texts else []
        for value in one.values:
            if isinstance(value, bool):
                any_of.append(FieldCondition(key=key, match=MatchValue(value=value)))
            elif not isinstance(value, str):
                any_of.append(bounded(key, value, value))
        must.append(Filter(should=any_of))
    return must


def _float(number: float, towards: float) -> float:
    near = float(number)
    return math.nextafter(near, towards) if abs(number) >= 2**53 else near
