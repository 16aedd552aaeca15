"""How much should the dense leg of `static` weigh beside BM25? Asked of held-out training queries.

    python recipes/static_hybrid.py --model build/static/model --work build/static

Indexes the passages of held-out queries and some thousand others, ranks them by BM25 and by the
encoder, and prints nDCG@10 and recall@50 of their reciprocal rank fusion for each weight. Needs the
data of `recipes/static.py`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

from secondpass import Index, Passage
from secondpass.engine import StaticEncoder

DEPTH = 200
RRF_K = 60
WEIGHTS = (0.0, 0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)


def held_out(data: Path, one_in: int, asked_in: int) -> tuple[list[tuple[str, str]], list[str]]:
    """(query, its passage) of some held-out queries, and one in so many of all other passages."""
    asked, others = [], []
    for path in sorted(data.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                pair = json.loads(line)
                mark = hashlib.sha256(pair["query"].encode()).digest()
                number = int.from_bytes(mark[:4], "big")
                if number % (60 * asked_in) == 0:  # 60 is HELD_OUT of static.py
                    asked.append((pair["query"], pair["positive"]))
                elif number % one_in == 1:
                    others.append(pair["positive"])
    return asked, others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    parser.add_argument("--one-in", type=int, default=30)
    parser.add_argument("--asked-in", type=int, default=8)
    given = parser.parse_args()
    asked, others = held_out(given.data, given.one_in, given.asked_in)
    texts = list(dict.fromkeys([text for _, text in asked] + others))
    number = {text: at for at, text in enumerate(texts)}
    encoder = StaticEncoder.load(given.model)
    vectors = encoder.encode_passages(texts)
    queries = encoder.encode_queries([query for query, _ in asked])
    ranks: list[dict[float, int]] = []
    with tempfile.TemporaryDirectory() as home, Index.open(Path(home) / "i.index") as index:
        index.add(Passage(str(at), text, str(at)) for at, text in enumerate(texts))
        retriever = index.retriever()
        for (query, text), vector in zip(asked, queries, strict=True):
            found = retriever.retrieve(query, DEPTH) if query.strip() else []
            words = np.zeros(len(texts))
            for one in found:
                words[int(one.passage.id)] = 1 / (RRF_K + one.rank)
            dense = np.zeros(len(texts))
            best = np.argsort(-(vectors @ vector), kind="stable")[:DEPTH]
            dense[best] = 1 / (RRF_K + 1 + np.arange(len(best)))
            right = number[text]
            totals = {weight: words + weight * dense for weight in WEIGHTS}
            totals[np.inf] = dense
            ranks.append(
                {
                    weight: int((total > total[right]).sum()) if total[right] > 0 else len(texts)
                    for weight, total in totals.items()
                }
            )
    print(json.dumps({"queries": len(asked), "passages": len(texts)}))
    for weight in (*WEIGHTS, np.inf):
        at = np.array([one[weight] for one in ranks])
        gain = np.where(at < 10, 1 / np.log2(at + 2), 0).mean()
        print(
            json.dumps(
                {"weight": weight, "ndcg@10": gain.round(4), "r@50": (at < 50).mean().round(4)}
            )
        )


if __name__ == "__main__":
    main()
