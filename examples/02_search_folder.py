"""Search a folder, before and after the second pass.

python examples/02_search_folder.py docs/ "What is a cross-encoder?" my.index
"""

from __future__ import annotations

import sys

from secondpass import CrossEncoder, Hit, Index, Pipeline, load, split


def show(title: str, hits: list[Hit]) -> None:
    print(title)
    for hit in hits:
        first_line = hit.text.splitlines()[0]
        # Both stages' ranks: where the passage is now, and where the first stage had it.
        print(f"  {hit.rank}. (was {hit.first_stage.rank})  {hit.score:7.2f}  {first_line}")


def main(folder: str, query: str, file: str) -> None:
    with Index.open(file) as index, CrossEncoder.load() as reranker:
        # Streams, a document at a time. A second run writes only what has changed.
        report = index.add(split(load(folder)))
        print(f"{report.added} added, {report.replaced} replaced, {report.unchanged} unchanged")

        first_stage = index.retriever()
        show("first stage alone:", Pipeline(first_stage, None).search(query, top_k=3))
        show("reranked:", Pipeline(first_stage, reranker, depth=20).search(query, top_k=3))


if __name__ == "__main__":
    main(*sys.argv[1:])
