"""A speech in pieces of 500 characters that overlap by 100, in FAISS: the best three of twenty.

python examples/05_speech_in_faiss.py speech.txt "What is the plan for the economy?" speech.index
"""

from __future__ import annotations

import sys

from secondpass import CrossEncoder, Index, Pipeline, load, split
from secondpass.ingest import Splitting


def main(speech: str, query: str, file: str) -> None:
    pieces = Splitting(by="size", size=500, overlap=100, unit="chars")
    with Index.open(file, store="faiss") as index, CrossEncoder.load() as reranker:
        index.add(split(load([speech]), pieces))

        for hit in Pipeline(index.retriever(), reranker, depth=20).search(query, top_k=3):
            print(f"{hit.rank}. (was {hit.first_stage.rank}) {hit.probability:.2f}")
            print(f"   {' '.join(hit.text.split())}")


if __name__ == "__main__":
    main(*sys.argv[1:])
