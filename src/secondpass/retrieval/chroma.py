"""A first stage over a Chroma collection that somebody else made: it is searched, never changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from secondpass.errors import InvalidInput, SecondpassError, StoreError
from secondpass.protocols import Encoder
from secondpass.retrieval.filters import conditions, passes
from secondpass.retrieval.lexical import check_query
from secondpass.retrieval.stores.chroma_client import client_errors, close, connect
from secondpass.retrieval.stores.chroma_filter import where_of
from secondpass.retrieval.stores.tables import Found, best
from secondpass.types import Candidate, Filter, Metadata, Passage

if TYPE_CHECKING:
    import numpy as np
    from chromadb import Collection
    from chromadb.api import ClientAPI
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)

# A function from queries to vectors, as Chroma's embedding functions are.
Embedding = Callable[[list[str]], Sequence[Any]]


class ChromaCollection:
    """Finds records by their vectors. A record's id, document and metadata become a passage's.

    A passage's document and path are the record's metadata field `source` where it is a text, as
    LangChain writes it; otherwise the document is the record's id. Scores are the cosine or the
    inner product where the collection goes by one, and the negative squared distance where by that.
    Records without a document cannot be read: they are left out, with a warning.
    """

    def __init__(
        self,
        collection: Collection,
        embed: Callable[[str], NDArray[np.float32]],
        where: Filter | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._wanted = conditions(where)
        self._collection = collection
        self._embed = embed
        self._on_close = on_close
        self._closed = False
        self._space = _space(collection)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        name: str,
        *,
        encoder: Encoder | None = None,
        embedding: Embedding | None = None,
        where: Filter | None = None,
    ) -> Self:
        """The collection of this name in the folder `path`, or on the server at that address.

        Queries become vectors by `encoder`, or by `embedding`, one of Chroma's embedding functions;
        without either by that which Chroma has recorded for the collection. It must be what made
        the collection's vectors. StoreError where there is no such collection.
        """
        if encoder is not None and embedding is not None:
            raise InvalidInput(
                "both encoder and embedding are given; expected one of them; leave one out"
            )
        client = connect(path, create=False)
        try:
            own = encoder is None and embedding is None
            collection = _collection(client, path, name, own=own)
            embed = _embed_by(collection, encoder, embedding)
            return cls(collection, embed, where, partial(close, client))
        except BaseException:
            close(client)
            raise

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """At most `depth` candidates, best first, ties by id.

        A blank query, or a depth below 1, is InvalidInput; StoreError where the query's vector has
        not the collection's dimension, or Chroma does not answer.
        """
        check_query(query, depth)
        if self._closed:
            raise StoreError(
                f"collection '{self._collection.name}' is closed; expected an open one; open it again"
            )
        texts: dict[str, str] = {}
        try:
            vector = self._embed(query)
            most = max(1, self._collection.count())
            found = best(partial(self._nearest, vector, texts), self._kept(texts), depth, most)
        except SecondpassError:
            raise
        except client_errors() as error:
            raise StoreError(
                f"collection '{self._collection.name}' could not be searched; expected Chroma to "
                f"answer; see its message ({type(error).__name__}: {error})"
            ) from error
        return [
            Candidate(_passage(row.id, texts[row.id], row.metadata), row.score, rank)
            for rank, row in enumerate(found, start=1)
        ]

    def close(self) -> None:
        """Let go of the database; a later search raises StoreError. Closing twice is allowed."""
        if not self._closed and self._on_close is not None:
            self._on_close()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _kept(self, texts: Mapping[str, str]) -> Callable[[Found], bool]:
        return lambda row: row.id in texts and passes(row.metadata, self._wanted)

    def _nearest(
        self, vector: NDArray[np.float32], texts: dict[str, str], limit: int
    ) -> list[Found]:
        """The nearest `limit` records; their documents come into `texts` by id."""
        asked: Any = {
            "query_embeddings": [vector],
            "n_results": limit,
            "where": where_of(self._wanted),
            "include": ["documents", "metadatas", "distances"],
        }
        found: Any = self._collection.query(**asked)
        ids, documents = found["ids"][0], found["documents"][0]
        texts.update((id, text) for id, text in zip(ids, documents, strict=True) if text)
        if len(texts) < len(ids):
            _log.warning(
                "%d records of collection '%s' are left out: they have no document",
                len(ids) - len(texts),
                self._collection.name,
            )
        place = {id: at for at, id in enumerate(sorted(ids))}
        rows = zip(ids, found["metadatas"][0], found["distances"][0], strict=True)
        return [
            Found(place[id], id, _plain(metadata), _score(far, self._space))
            for id, metadata, far in rows
        ]


def _collection(client: ClientAPI, place: object, name: str, *, own: bool) -> Collection:
    from chromadb.errors import NotFoundError

    try:
        if own:
            return client.get_collection(name)
        return client.get_collection(name, embedding_function=None)
    except NotFoundError as error:
        known = ", ".join(sorted(one.name for one in client.list_collections())) or "none"
        raise StoreError(
            f"there is no collection '{name}' in '{place}'; expected one of its collections: "
            f"{known}; choose one of them"
        ) from error
    except client_errors() as error:
        raise StoreError(
            f"collection '{name}' in '{place}' cannot be opened; expected Chroma to open it; see its "
            f"message, or give an encoder ({error})"
        ) from error


def _embed_by(
    collection: Collection, encoder: Encoder | None, embedding: Embedding | None
) -> Callable[[str], NDArray[np.float32]]:
    import numpy as np

    if encoder is not None:
        return lambda query: encoder.encode_queries([query])[0]
    # Newer embedding functions do something else to queries than to documents.
    chosen: Any = embedding if embedding is not None else collection._embedding_function
    if chosen is None:
        raise InvalidInput(
            f"collection '{collection.name}' records no embedding function; expected to be told what "
            "made its vectors; pass encoder=..., or embedding=..."
        )
    call = getattr(chosen, "embed_query", chosen)
    return lambda query: np.asarray(call([query])[0], dtype=np.float32)


def _space(collection: Collection) -> str:
    configuration: Any = collection.configuration_json
    for kind in ("hnsw", "spann"):
        if configuration.get(kind):
            return str(configuration[kind].get("space", "l2"))
    return "l2"


def _score(distance: float, space: str) -> float:
    return -distance if space == "l2" else 1 - distance


def _plain(metadata: Mapping[str, Any] | None) -> Metadata:
    """What of a record's metadata can be a passage's: texts, numbers and flags."""
    known = (metadata or {}).items()
    return {field: value for field, value in known if isinstance(value, str | int | float)}


def _passage(id: str, text: str, metadata: Metadata) -> Passage:
    source, title = metadata.get("source"), metadata.get("title")
    path = source if isinstance(source, str) else None
    return Passage(
        id,
        text,
        document=path or id,
        end=len(text),
        title=title if isinstance(title, str) else "",
        path=path,
        metadata=metadata,
    )
