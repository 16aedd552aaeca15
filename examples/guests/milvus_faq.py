"""Search the pages of a FAQ in Milvus Lite, as Milvus's tutorial does, then rerank what was found.

python examples/guests/milvus_faq.py "How is data stored in Milvus?" faq/*.md
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pymilvus import MilvusClient

from secondpass.engine import load_encoder

# Before: from pymilvus.model.reranker import CrossEncoderRerankFunction
from secondpass.integrations.milvus import CrossEncoderRerankFunction


def search(query: str, texts: list[str], database: Path) -> list[str]:
    """The ten texts that are nearest to the query, nearest first."""
    encoder = load_encoder("static")
    client = MilvusClient(str(database))
    client.create_collection("faq", dimension=encoder.dimension)
    vectors = encoder.encode_passages(texts).tolist()
    rows = [
        {"id": at, "vector": vector, "text": text}
        for at, (vector, text) in enumerate(zip(vectors, texts, strict=True))
    ]
    client.insert("faq", rows)
    question = encoder.encode_queries([query]).tolist()
    (found,) = client.search("faq", data=question, limit=10, output_fields=["text"])
    client.close()
    return [hit["entity"]["text"] for hit in found]


def first_line(text: str) -> str:
    return text.strip().splitlines()[0]


def main(query: str, *files: str) -> None:
    pages = [Path(file).read_text(encoding="utf-8") for file in files]
    # The tutorial splits at headings.
    texts = [part for page in pages for part in page.split("# ")[1:] if part.strip("# \n")]
    with tempfile.TemporaryDirectory() as folder:
        documents = search(query, texts, Path(folder) / "faq.db")

    print("before")
    for text in documents[:3]:
        print(f"        {first_line(text)}")

    rerank = CrossEncoderRerankFunction()
    print("after")
    for result in rerank(query, documents, top_k=3):
        print(f"{result.score:.3f}  {result.index}  {first_line(result.text)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
