from __future__ import annotations

import pytest

from secondpass.errors import UnknownName
from secondpass.retrieval.stores import STORES, store_class


@pytest.mark.parametrize("name", sorted(STORES))
def test_every_name_leads_to_its_class(name):
    assert store_class(name).__name__.lower() == f"{name}store"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        UnknownName,
        match="unknown store 'sqlit'; choose from chroma, faiss, memory, milvus, qdrant, sqlite",
    ):
        store_class("sqlit")
