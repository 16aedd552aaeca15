"""The first stage: finds candidates in a collection of passages."""

from secondpass.retrieval.adding import AddReport
from secondpass.retrieval.index import Index
from secondpass.retrieval.lexical import LexicalRetriever

__all__ = ["AddReport", "Index", "LexicalRetriever"]
