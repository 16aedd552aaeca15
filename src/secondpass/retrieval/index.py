"""What users hold: a collection of passages that lasts, grows, and can be searched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from secondpass.errors import InvalidInput, UnknownName
from secondpass.protocols import Encoder, Retriever
from secondpass.retrieval.adding import Adding, AddReport
from secondpass.retrieval.documents import by_document, no_vectors
from secondpass.retrieval.encoding import IndexEncoder, LoadEncoder
from secondpass.retrieval.fusion import Fusion
from secondpass.retrieval.lexical import LexicalRetriever, check_query
from secondpass.retrieval.stores.info import DescribedStore, StoreInfo
from secondpass.types import Filter, IndexedDocument, Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIRST_STAGES = ("lexical", "dense", "hybrid")


class Index:
    """Passages in a store, added a document at a time. Closing it closes the store.

    With an `encoder` the store keeps vectors too, from its first passage on. `load_encoder` finds
    encoders by name: the given one, or that which the store has recorded, loaded when first needed.
    """

    def __init__(
        self,
        store: DescribedStore,
        encoder: Encoder | str | None = None,
        load_encoder: LoadEncoder | None = None,
        default_encoder: str | None = None,
    ) -> None:
        self._store = store
        self._encoder = IndexEncoder(store, encoder, load_encoder, default_encoder)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        encoder: Encoder | str | None = None,
        load_encoder: LoadEncoder | None = None,
        store: str = "sqlite",
    ) -> Index:
        """The index at `path`, made where there is none unless `create` is False.

        An index that has no passages records the encoder, and takes no other from then on. `store`
        names what holds it. StoreError where the path is something else, or lies where an index
        cannot work, where another encoder made its vectors, and where its passages have none.
        """
        from secondpass.retrieval.stores.table import open_store

        opened = open_store(store, path, create=create)
        try:
            index = cls(opened, encoder, load_encoder)
            if encoder is not None:
                index._encoder.for_adding()
        except BaseException:
            opened.close()
            raise
        return index

    def add(
        self,
        passages: Iterable[Passage],
        *,
        on_progress: Callable[[AddReport], None] | None = None,
    ) -> AddReport:
        """Store the documents that these passages make up, and report on them.

        Passages of one document follow one another. A document that is stored already stays as it
        is where nothing changed, and is replaced otherwise, so a call that broke off can be made
        again and goes on. Documents are written a batch at a time, each batch followed by a call
        of `on_progress`. Where the stream fails or the user interrupts, the documents that were
        complete are written before the error goes on. Where the index has an encoder, each batch is
        encoded before it is written.
        """
        adding = Adding(self._store, self._encoder.for_adding(), on_progress)
        try:
            for run in by_document(passages):
                adding.take(run)
            adding.write()
        finally:
            # Nothing waits any more, unless the stream failed or the user interrupted.
            adding.write()
        return adding.report

    def delete(self, documents: Sequence[str]) -> int:
        """Forget these documents; returns how many of them there were."""
        if isinstance(documents, str):
            raise InvalidInput(f"documents='{documents}' is a single str; pass ['{documents}']")
        return self._store.delete(documents)

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; ids that are not there are left out."""
        return self._store.get(ids)

    def count(self, where: Filter | None = None) -> int:
        """How many passages pass the filter."""
        return self._store.count(where)

    def documents(self) -> Iterator[IndexedDocument]:
        """Every document, in the order of adding, with all its passages."""
        return self._store.documents()

    def paths(self) -> dict[str, str | None]:
        """The path of every document by its id, in the order of adding; None where it has none."""
        return self._store.paths()

    def retriever(
        self,
        where: Filter | None = None,
        *,
        first_stage: str | None = None,
        fusion: Fusion | None = None,
    ) -> Retriever:
        """A first stage over the passages that pass the filter; usable until the index closes.

        'lexical' finds by words, 'dense' by vectors, and 'hybrid' by both, fused. None takes hybrid
        where the index has an encoder and lexical where it has none. `fusion` is for hybrid.
        """
        if first_stage is not None and first_stage not in FIRST_STAGES:
            raise UnknownName("first stage", first_stage, FIRST_STAGES)
        if first_stage is None:
            first_stage = "lexical" if self._encoder.record() is None else "hybrid"
        lexical = LexicalRetriever(self._store, where)
        if first_stage == "lexical":
            return lexical
        from secondpass.retrieval.dense import DenseRetriever
        from secondpass.retrieval.hybrid import HybridRetriever

        dense = DenseRetriever(self._store, self._searching(), where)
        if first_stage == "dense":
            return dense
        legs: dict[str, Retriever] = {"lexical": lexical, "dense": dense}
        # Two legs that compute in this process wait for Python's lock instead of for each other: at
        # a million passages p95 was 332 ms at once and 200 ms one after another.
        concurrent = not self._store.in_process
        return HybridRetriever(legs, fusion or Fusion(), concurrent=concurrent)

    def search_lexical(self, query: str, depth: int) -> list[tuple[str, float]]:
        """The lexical leg without its passages: at most `depth` (passage id, BM25 score)."""
        check_query(query, depth)
        return self._store.search_lexical(query, depth)

    def search_dense(self, vector: NDArray[np.float32], depth: int) -> list[tuple[str, float]]:
        """The dense leg without its passages: at most `depth` (passage id, cosine), best first.

        `vector` is float32[dimension] as `encoder().encode_queries` makes them, many at once.
        """
        return self._store.search_dense(vector, depth)

    def encoder(self) -> Encoder | None:
        """What made the index's vectors, for further texts; None where it has none."""
        return self._encoder.for_searching()

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of these passages, float32[ids, dimension], of length 1.

        InvalidInput for an unknown id, StoreError where the index has no vectors.
        """
        if self._encoder.record() is None:
            raise no_vectors()
        return self._store.vectors(ids)

    def query_vector(self, query: str) -> NDArray[np.float32]:
        """A query's vector by the index's encoder, float32[dimension]; StoreError without one."""
        check_query(query, depth=1)
        vector: NDArray[np.float32] = self._searching().encode_queries([query])[0]
        return vector

    def info(self) -> StoreInfo:
        """Where the index is and how much it holds."""
        return replace(self._store.info(), encoder=self._store.encoder())

    def flush(self) -> None:
        """Bring what lies beside the index for speed up to it; call it after adding a great many.

        What `add` acknowledged is kept without it. FAISS's file, and the postings of an index of
        50 000 passages where tantivy is installed, are written here.
        """
        self._store.flush()

    def close(self) -> None:
        """Release the files; a later call raises StoreError. Closing twice is allowed."""
        self._store.close()
        self._encoder.close()

    def _searching(self) -> Encoder:
        encoder = self._encoder.for_searching()
        if encoder is None:
            raise no_vectors()
        return encoder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
