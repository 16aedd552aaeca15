"""Which stores there are, by name."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from secondpass.errors import InvalidInput, UnknownName

if TYPE_CHECKING:
    from secondpass.retrieval.stores.info import DescribedStore

STORES = {
    "chroma": "secondpass.retrieval.stores.chroma:ChromaStore",
    "faiss": "secondpass.retrieval.stores.faiss:FaissStore",
    "memory": "secondpass.retrieval.stores.memory:MemoryStore",
    "milvus": "secondpass.retrieval.stores.milvus:MilvusStore",
    "qdrant": "secondpass.retrieval.stores.qdrant:QdrantStore",
    "sqlite": "secondpass.retrieval.stores.sqlite:SqliteStore",
}


def store_class(name: str) -> type[DescribedStore]:
    """The class of the store with this name; UnknownName where there is none."""
    if name not in STORES:
        raise UnknownName("store", name, STORES)
    module, _, class_name = STORES[name].partition(":")
    found: type[DescribedStore] = getattr(import_module(module), class_name)
    return found


def open_store(name: str, path: str | os.PathLike[str], *, create: bool = True) -> DescribedStore:
    """The store of this kind at `path`, made where there is none unless `create` is False."""
    opened = getattr(store_class(name), "open", None)
    if opened is None:
        lasting = [known for known in STORES if hasattr(store_class(known), "open")]
        raise InvalidInput(
            f"store '{name}' lasts no longer than its process and has no path; expected one of "
            f"{', '.join(sorted(lasting))}; choose another"
        )
    store: DescribedStore = opened(path, create=create)
    return store
