"""Conformance suites: what every store, retriever, reranker, encoder and backend must do.

Run them over an implementation of your own, all at once or, for a test each, by the tables:

    check_store(lambda: MyStore.open(new_folder()))
    @pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)

A check raises AssertionError; its docstring says what to mend.
"""

from secondpass.testing.backends import BACKEND_CHECKS, check_backend, two_sided
from secondpass.testing.dense import DENSE_CHECKS
from secondpass.testing.encoders import check_encoder
from secondpass.testing.rerankers import RERANKER_CHECKS, check_reranker
from secondpass.testing.retrievers import RETRIEVER_CHECKS, check_retriever
from secondpass.testing.stores import STORE_CHECKS, check_store

__all__ = [
    "BACKEND_CHECKS",
    "DENSE_CHECKS",
    "RERANKER_CHECKS",
    "RETRIEVER_CHECKS",
    "STORE_CHECKS",
    "check_backend",
    "check_encoder",
    "check_reranker",
    "check_retriever",
    "check_store",
    "two_sided",
]
