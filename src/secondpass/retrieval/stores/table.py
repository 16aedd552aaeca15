"""Which stores there are, by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from secondpass.errors import UnknownName

if TYPE_CHECKING:
    from secondpass.retrieval.stores.info import DescribedStore

STORES = {
    "memory": "secondpass.retrieval.stores.memory:MemoryStore",
    "sqlite": "secondpass.retrieval.stores.sqlite:SqliteStore",
}


def store_class(name: str) -> type[DescribedStore]:
    """The class of the store with this name; UnknownName where there is none."""
    if name not in STORES:
        raise UnknownName("store", name, STORES)
    module, _, class_name = STORES[name].partition(":")
    found: type[DescribedStore] = getattr(import_module(module), class_name)
    return found
