"""Passages in Milvus: Milvus Lite in a folder named `*.db`, or the same client on a server.

The lexical leg is Milvus's own BM25. It gets our terms, so that any script is searched as in other
stores: those beyond ASCII are spelt in hexadecimal digits, which its standard analyser keeps whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import InvalidInput, MissingExtra, StoreError
from secondpass.retrieval.filters import Condition
from secondpass.retrieval.stores.ledger import LAYOUT_VERSION, Ledger, Span
from secondpass.retrieval.stores.milvus_filter import is_plain, milvus_conditions
from secondpass.retrieval.stores.table_store import TableStore
from secondpass.retrieval.stores.tables import DocumentRow, Found, PassageRow, body_of, passage_of
from secondpass.retrieval.words import ANALYSER_VERSION, terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pymilvus import MilvusClient  # type: ignore[import-untyped]

# Milvus's limits: bytes in a text field, and rows in an answer.
_MAX_BYTES = 65_535
_MAX_ROWS = 16_384

_LEDGER = -1


class MilvusStore(TableStore):
    """Passages in a Milvus collection, searched exactly: its index is flat.

    A passage's text, its other fields and its terms have room for 65,535 bytes each. A search finds
    at most 16,384 passages. Lite lets one process in.
    """

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        collection: str = "secondpass",
        token: str = "",
    ) -> MilvusStore:
        """The store on the server at the address `path`, or in Milvus Lite in `path`, a `*.db`.

        It is made there unless `create` is False. StoreError where there is none, where no server
        answers, and where a collection of this name holds something else.
        """
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise MissingExtra("store 'milvus'", "milvus") from error
        address = str(path) if str(path).startswith(("http://", "https://")) else None
        place = None if address else _lite_place(Path(path).resolve(), create=create)
        try:
            client = MilvusClient(uri=address or str(place), token=token)
        except _errors() as error:
            raise StoreError(
                f"'{path}' cannot be opened as a Milvus database; expected a server's address, or a "
                f"path that no other process has open; see Milvus's message ({error})"
            ) from error
        try:
            tables = MilvusTables(client, place, address or str(place), collection)
            tables.prepare(create=create)
        except BaseException:
            client.close()
            raise
        return cls(tables, place)


def _lite_place(place: Path, *, create: bool) -> Path:
    if place.suffix != ".db":
        raise InvalidInput(
            f"'{place}' does not end in '.db'; expected that of a Milvus Lite path, or the address of "
            "a server; name it 'index.db', say"
        )
    if not place.exists() and not create:
        raise StoreError(
            f"there is no Milvus Lite database at '{place}'; expected one; correct the path"
        )
    if create:
        place.parent.mkdir(parents=True, exist_ok=True)
    return place


class MilvusTables:
    """Two collections: the passages' under the given name, and the documents' beside it."""

    most = _MAX_ROWS

    def __init__(
        self, client: MilvusClient, path: Path | None, address: str, collection: str
    ) -> None:
        self._client = client
        self._path = path
        self._name = collection
        self._side = f"{collection}_documents"
        self.place = f"collection '{collection}' in '{address}'"
        self.errors = _errors()
        self.alone = path is not None

    def prepare(self, *, create: bool) -> None:
        """Make what is missing, or raise StoreError where it may not be made."""
        try:
            there = self._client.has_collection(self._side)
            if there:
                self._client.load_collection(self._side)
                if self._query(self._side, f"number == {_LEDGER}", ["body"]):
                    self._client.load_collection(self._name)
                    return
            if self._client.has_collection(self._name) and not there:
                raise StoreError(
                    f"{self.place} is not an index of ours; expected one, or a name that is free; "
                    "choose another name"
                )
            if not create:
                raise StoreError(
                    f"there is no index in {self.place}; expected one; make it with `secondpass "
                    "index --store milvus`, or correct the path"
                )
            if not there:
                self._create_side()
            self.arrange(None)
            self.save(Ledger(LAYOUT_VERSION, ANALYSER_VERSION).to_text())
        except self.errors as error:
            raise StoreError(
                f"{self.place} could not be opened; expected Milvus to answer; see its message "
                f"({type(error).__name__}: {error})"
            ) from error

    def load(self) -> str:
        """The ledger as it was saved last."""
        found = self._query(self._side, f"number == {_LEDGER}", ["body"])
        return str(found[0]["body"]) if found else ""

    def save(self, ledger: str) -> None:
        """Keep the ledger: one row, which Milvus writes as a whole."""
        row = {"number": _LEDGER, "name": 0, "body": ledger, "vector": [1.0, 0.0]}
        self._client.upsert(self._side, [row])

    def arrange(self, dimension: int | None) -> None:
        """Make the passages' collection anew, unless it is for vectors of this dimension already."""
        from pymilvus import DataType, Function, FunctionType

        if self._client.has_collection(self._name):
            described: Any = self._client.describe_collection(self._name)
            field = next(one for one in described["fields"] if one["name"] == "vector")
            if int(field["params"]["dim"]) == (dimension or 2):
                return
            self._client.drop_collection(self._name)
        schema = self._schema()
        schema.add_field("text", DataType.VARCHAR, max_length=_MAX_BYTES)
        schema.add_field("id", DataType.VARCHAR, max_length=_MAX_BYTES)
        schema.add_field("metadata", DataType.JSON)
        # The standard analyser keeps words of ASCII letters and digits as they are.
        analyser = {"tokenizer": "standard"}
        schema.add_field(
            "terms",
            DataType.VARCHAR,
            max_length=_MAX_BYTES,
            enable_analyzer=True,
            analyzer_params=analyser,
        )
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension or 2)
        schema.add_function(
            Function(
                name="bm25",
                function_type=FunctionType.BM25,
                input_field_names=["terms"],
                output_field_names=["words"],
            )
        )
        index: Any = self._client.prepare_index_params()
        index.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self._create(self._name, schema, index)

    def put(self, documents: Sequence[DocumentRow], passages: Sequence[PassageRow]) -> None:
        """Write rows; InvalidInput for a passage that is too long for Milvus."""
        rows = [_passage_row(row) for row in passages]
        if documents:
            self._client.upsert(self._side, [_document_row(row) for row in documents])
        if rows:
            self._client.upsert(self._name, rows)

    def drop(self, numbers: Sequence[int]) -> None:
        """Remove the rows with these numbers from both collections."""
        for collection in (self._name, self._side):
            self._client.delete(collection, ids=list(numbers))

    def drop_from(self, number: int) -> None:
        """Remove all rows from this number on from both collections."""
        for collection in (self._name, self._side):
            self._client.delete(collection, filter=f"number >= {number}")

    def documents(self, span: Span) -> list[DocumentRow]:
        """The documents with these numbers, in order."""
        return self._documents(_between(span))

    def documents_named(self, ids: Sequence[str]) -> list[DocumentRow]:
        """The rows with these document ids."""
        if not ids:
            return []
        wanted = set(ids)
        return [row for row in self._documents(_named(ids)) if row.id in wanted]

    def passages(self, span: Span, wanted: Sequence[Condition] = ()) -> list[PassageRow]:
        """The passages with these numbers that pass, in order, without vectors."""
        return self._rows(" && ".join([_between(span), *milvus_conditions(wanted)]), vectors=False)

    def passages_named(self, ids: Sequence[str], *, vectors: bool) -> list[PassageRow]:
        """The rows with these passage ids."""
        if not ids:
            return []
        wanted = set(ids)
        return [row for row in self._rows(_named(ids), vectors=vectors) if row.passage.id in wanted]

    def nearest(
        self, vector: NDArray[np.float32], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` passages by the cosine: vectors come at length 1."""
        return self._search(vector.tolist(), "vector", limit, wanted)

    def matching(
        self, terms: Sequence[str], limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        """At most `limit` passages by BM25, as Milvus counts it."""
        return self._search(" ".join(map(_spelt, terms)), "words", limit, wanted)

    def bytes_on_disk(self) -> int:
        """The size of what Milvus Lite keeps."""
        files = [self._path, *self._path.rglob("*")] if self._path else []
        return sum(file.stat().st_size for file in files if file.is_file())

    def flush(self) -> None:
        """Ask Milvus to seal what it has; it keeps a log of what it has not."""
        for collection in (self._name, self._side):
            self._client.flush(collection)

    def close(self) -> None:
        """Let go of the database."""
        self._client.close()

    def _schema(self) -> Any:  # noqa: ANN401  # types of pymilvus, which may be absent
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("number", DataType.INT64, is_primary=True)
        # The hash of the id: filters need no quoting then.
        schema.add_field("name", DataType.INT64)
        schema.add_field("body", DataType.VARCHAR, max_length=_MAX_BYTES)
        return schema

    def _create_side(self) -> None:
        from pymilvus import DataType

        schema = self._schema()
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)  # a collection must have one
        index: Any = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self._create(self._side, schema, index)

    def _create(self, name: str, schema: Any, index: Any) -> None:  # noqa: ANN401
        self._client.create_collection(
            name, schema=schema, index_params=index, consistency_level="Strong"
        )

    def _query(self, collection: str, filter: str, fields: list[str]) -> list[dict[str, Any]]:
        found = self._client.query(
            collection, filter=filter, output_fields=["number", *fields], limit=_MAX_ROWS
        )
        return sorted(map(dict, found), key=lambda row: row["number"])

    def _documents(self, filter: str) -> list[DocumentRow]:
        rows = self._query(self._side, f"({filter}) && number >= 0", ["body"])
        return [_document(row["number"], row["body"]) for row in rows]

    def _rows(self, filter: str, *, vectors: bool) -> list[PassageRow]:
        fields = ["id", "text", "body", *(["vector"] if vectors else [])]
        return [
            PassageRow(row["number"], passage_of(row["id"], row["text"], row["body"]), _vector(row))
            for row in self._query(self._name, filter, fields)
        ]

    def _search(
        self, query: list[float] | str, field: str, limit: int, wanted: Sequence[Condition]
    ) -> list[Found]:
        answer: Any = self._client.search(
            self._name,
            data=[query],
            anns_field=field,
            filter=" && ".join(milvus_conditions(wanted)),
            limit=limit,
            output_fields=["id", "body", *(["vector"] if field == "vector" else [])],
        )
        found = []
        for hit in answer[0]:
            row = hit["entity"]
            passage = passage_of(row["id"], "", row["body"])
            # BM25 is never negative: Lite says by a minus that it is a likeness, servers do not.
            score = hit["distance"] if field == "vector" else abs(hit["distance"])
            found.append(Found(hit["number"], passage.id, passage.metadata, score, _vector(row)))
        return found


def _errors() -> tuple[type[Exception], ...]:
    import grpc  # type: ignore[import-untyped]
    from pymilvus.exceptions import MilvusException  # type: ignore[import-untyped]

    return MilvusException, grpc.RpcError, ValueError, RuntimeError, OSError


def _name(id: str) -> int:
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "big", signed=True)


def _named(ids: Sequence[str]) -> str:
    return f"name in [{', '.join(str(_name(id)) for id in ids)}]"


def _between(span: Span) -> str:
    return f"number >= {span.start} && number < {span.end}"


def _spelt(term: str) -> str:
    """The term in ASCII letters and digits, differently for each term."""
    if term.isascii() and not term.startswith("0x"):
        return term
    return f"0x{term.encode('utf-16-be').hex()}"


def _passage_row(row: PassageRow) -> dict[str, Any]:
    passage = row.passage
    known = {
        "text": passage.text,
        "body": body_of(passage),
        "id": passage.id,
        "terms": " ".join(map(_spelt, terms(passage.text_in_context))),
    }
    for what, text in known.items():
        if (size := len(text.encode())) > _MAX_BYTES:
            raise InvalidInput(
                f"the {what} of passage '{passage.id[:100]}' takes {size} bytes; expected at most "
                f"{_MAX_BYTES}, which is what Milvus has room for; split it into smaller passages"
            )
    vector = [1.0, 0.0] if row.vector is None else row.vector.tolist()
    plain = {key: value for key, value in passage.metadata.items() if is_plain(key)}
    numbers = {"number": row.number, "name": _name(passage.id)}
    return known | numbers | {"metadata": plain, "vector": vector}


def _document_row(row: DocumentRow) -> dict[str, Any]:
    body = json.dumps([row.id, row.digest, row.path, row.passages], ensure_ascii=False)
    return {"number": row.number, "name": _name(row.id), "body": body, "vector": [1.0, 0.0]}


def _document(number: int, body: str) -> DocumentRow:
    id, digest, path, passages = json.loads(body)
    return DocumentRow(number, id, digest, path, passages)


def _vector(row: dict[str, Any]) -> NDArray[np.float32] | None:
    import numpy as np

    dense = row.get("vector")
    return None if dense is None else np.asarray(dense, dtype=np.float32)
