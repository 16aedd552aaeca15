"""The lines of a file, each a passage: indexed, searched, reranked.

python examples/06_short_texts.py lines.txt "什么动物吃竹子？" lines.index
"""

from __future__ import annotations

import sys
from pathlib import Path

from secondpass import CrossEncoder, Index, Passage, Pipeline


def main(file: str, query: str, index_file: str) -> None:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    passages = [
        Passage(id=str(number), text=line, document=f"line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    with Index.open(index_file) as index, CrossEncoder.load() as reranker:
        index.add(passages)

        for hit in Pipeline(index.retriever(), reranker, depth=10).search(query, top_k=3):
            print(f"{hit.rank}. (was {hit.first_stage.rank}) {hit.probability:.2f}  {hit.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
