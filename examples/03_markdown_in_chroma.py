"""A Markdown page by its headings in Chroma: near enough by vectors, then reranked.

python examples/03_markdown_in_chroma.py page.md "what is awel talk about" chroma/ [encoder]
"""

from __future__ import annotations

import sys

from secondpass import CrossEncoder, Hit, Index, Pipeline, load, split
from secondpass.ingest import Splitting

THRESHOLD = 0.3  # the cosine below which a passage is no candidate


def show(title: str, hits: list[Hit]) -> None:
    print(title)
    for hit in hits:
        headings = " > ".join(hit.passage.headings)
        print(f"  {hit.rank}. {hit.score:6.2f}  {headings}")


def main(page: str, query: str, folder: str, encoder: str = "static") -> None:
    opened = Index.open(folder, store="chroma", encoder=encoder)
    with opened as index, CrossEncoder.load() as reranker:
        index.add(split(load([page]), Splitting(by="header")))
        near = index.retriever(first_stage="dense")

        before = Pipeline(near, None, depth=10)
        show("by vectors:", before.search(query, top_k=3, min_first_stage=THRESHOLD))
        after = Pipeline(near, reranker, depth=10)
        show("reranked:", after.search(query, top_k=3, min_first_stage=THRESHOLD))


if __name__ == "__main__":
    main(*sys.argv[1:])
