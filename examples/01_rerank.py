"""Rank the lines of a file for a query.

python examples/01_rerank.py "what is a panda?" passages.txt
"""

from __future__ import annotations

import sys
from pathlib import Path

from secondpass import CrossEncoder


def main(query: str, file: str) -> None:
    texts = [line for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]

    # The bundled model, from the package: nothing is downloaded. A folder or a hub name would do.
    with CrossEncoder.load() as reranker:
        # An answer points at the texts by index, so ids and metadata stay with whoever has them.
        for line in reranker.rerank(query, texts, top_k=3):
            print(f"{line.score:6.2f}  {line.probability:.2f}  {texts[line.index]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
