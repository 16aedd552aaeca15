"""The first stage: finds candidates in a collection of passages."""

from secondpass.retrieval.adding import AddReport
from secondpass.retrieval.dense import DenseRetriever
from secondpass.retrieval.fusion import Fusion, fuse
from secondpass.retrieval.hybrid import HybridRetriever
from secondpass.retrieval.index import Index
from secondpass.retrieval.lexical import LexicalRetriever

__all__ = [
    "AddReport",
    "DenseRetriever",
    "Fusion",
    "HybridRetriever",
    "Index",
    "LexicalRetriever",
    "fuse",
]
