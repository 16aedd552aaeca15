"""The ten lines with which sentence-transformers introduces cross-encoders, the import changed.

python examples/guests/ten_lines.py state_of_the_union.txt "What is the plan for the economy?"
"""

from __future__ import annotations

import sys
from pathlib import Path

from secondpass.integrations.sentence_transformers import CrossEncoder


def main(file: str, query: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    documents = [part.strip() for part in text.split("\n\n") if part.strip()]

    model = CrossEncoder("mini")
    for line in model.rank(query, documents, top_k=3, return_documents=True):
        print(f"{line['score']:.2f}  {' '.join(line['text'].split())[:160]}")

    # or pair by pair
    scores = model.predict([(query, document) for document in documents])
    print(f"{len(scores)} documents, {(scores > 0.5).sum()} of them above 0.5")


if __name__ == "__main__":
    main(*sys.argv[1:])
