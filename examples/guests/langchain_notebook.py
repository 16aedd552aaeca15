"""LangChain's notebook of a cross-encoder over FAISS, with our classes in place of downloads.

python examples/guests/langchain_notebook.py "What is the plan for the economy?" speech.txt
"""

from __future__ import annotations

import sys
import warnings

# The package warns, when imported, that its parts move into packages of their own.
warnings.filterwarnings("ignore", message=".*langchain-community", category=DeprecationWarning)

from langchain_classic.retrievers import ContextualCompressionRetriever  # noqa: E402
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker  # noqa: E402
from langchain_community.document_loaders import TextLoader  # noqa: E402
from langchain_community.vectorstores import FAISS  # noqa: E402
from langchain_core.documents import Document  # noqa: E402
from langchain_text_splitters import RecursiveCharacterTextSplitter  # noqa: E402

# Before: from langchain_community.cross_encoders import HuggingFaceCrossEncoder
#         from langchain_huggingface import HuggingFaceEmbeddings
from secondpass.integrations.langchain import (  # noqa: E402
    SecondpassCrossEncoder,
    SecondpassEmbeddings,
    SecondpassRerank,
)


def show(title: str, documents: list[Document]) -> None:
    print(title)
    for document in documents:
        score = document.metadata.get("relevance_score")
        shown = "" if score is None else f"{score:.2f}  "
        print(f"{shown}{' '.join(document.page_content.split())[:76]}")


def main(query: str, file: str) -> None:
    documents = TextLoader(file, encoding="utf-8").load()
    splitter = RecursiveCharacterTextSplitter(chunk_size=500, chunk_overlap=100)
    store = FAISS.from_documents(splitter.split_documents(documents), SecondpassEmbeddings())
    retriever = store.as_retriever(search_kwargs={"k": 20})
    show("before", retriever.invoke(query)[:3])

    # The notebook's own compressor, which drops the scores; then ours, which keeps them.
    for compressor in (
        CrossEncoderReranker(model=SecondpassCrossEncoder(), top_n=3),
        SecondpassRerank(top_n=3),
    ):
        reranked = ContextualCompressionRetriever(
            base_compressor=compressor, base_retriever=retriever
        )
        show(f"after, {type(compressor).__name__}", reranked.invoke(query))


if __name__ == "__main__":
    main(*sys.argv[1:])
