"""Where passages live: one table of the stores there are, one file for each."""

from secondpass.retrieval.stores.table import STORES, store_class

__all__ = ["STORES", "store_class"]
