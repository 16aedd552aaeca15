"""DB-GPT's example of a cross-encoder, with our encoder and ranker in place of downloads.

python examples/guests/dbgpt_awel.py "What is AWEL?" awel.md [encoder]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from dbgpt.core import Chunk
from dbgpt.rag.retriever.embedding import EmbeddingRetriever
from dbgpt_ext.rag import ChunkParameters
from dbgpt_ext.rag.assembler import EmbeddingAssembler
from dbgpt_ext.rag.knowledge import KnowledgeFactory
from dbgpt_ext.storage.vector_store.chroma_store import ChromaStore, ChromaVectorConfig

# Before: from dbgpt.rag.embedding import DefaultEmbeddingFactory
#         from dbgpt.rag.retriever.rerank import CrossEncoderRanker
from secondpass.integrations.dbgpt import SecondpassEmbeddings, SecondpassRanker


def show(title: str, chunks: list[Chunk]) -> None:
    print(title)
    for chunk in chunks:
        print(f"{chunk.score:.3f}  {' '.join(chunk.content.split())[:72]}")


async def answer(query: str, store: ChromaStore) -> None:
    plain = EmbeddingRetriever(store, top_k=10)
    show("before", await plain.aretrieve_with_scores(query, 0.3))

    reranked = EmbeddingRetriever(store, top_k=10, rerank=SecondpassRanker(topk=3))
    show("after", await reranked.aretrieve_with_scores(query, 0.3))


def main(query: str, file: str, encoder: str = "static") -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = ChromaStore(
            ChromaVectorConfig(persist_path=folder),
            name="embedding_rag_test",
            embedding_fn=SecondpassEmbeddings(encoder),
        )
        assembler = EmbeddingAssembler.load_from_knowledge(
            knowledge=KnowledgeFactory.from_file_path(file),
            chunk_parameters=ChunkParameters(chunk_strategy="CHUNK_BY_MARKDOWN_HEADER"),
            index_store=store,
        )
        assembler.persist()
        asyncio.run(answer(query, store))


if __name__ == "__main__":
    main(*sys.argv[1:])
