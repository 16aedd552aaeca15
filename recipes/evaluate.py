"""Is the new model better, and than what? BM25's best candidates of the open sets, reordered.

    python -m recipes.evaluate build/recipes/int8/base --queries 100 --out base.json

Rivals: BM25's own order, multilingual-e5-small, e5 with BM25 (z-scores added), the bundled model.
Differences come with 95 % intervals of a paired bootstrap over the queries. Embeddings are kept in
build/recipes/eval, for they take most of the time.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.prepare import SHARED
from secondpass import BiEncoder, CrossEncoder, Index, Passage
from secondpass.pipeline import z_scores

CACHE = Path("build/recipes/eval")
DEPTH = 50
ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Judged:
    """A query with its first stage: texts and scores, the best first, and the gain of each text.

    `ideal` are the gains of all that is relevant, found or not.
    """

    query: str
    texts: list[str]
    scores: list[float]
    gains: list[float]
    ideal: list[float]


Score = Callable[[list[Judged]], list[NDArray[np.float64]]]


def json_lines(path: Path) -> list[dict[str, str]]:
    """The objects of a .jsonl file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_set(folder: Path, queries: int, depth: int) -> list[Judged]:
    """The first `queries` judged queries of a set, each with its first stage."""
    gains: dict[str, dict[str, float]] = {}
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if float(row["score"]) > 0:
                gains.setdefault(row["query-id"], {})[row["corpus-id"]] = float(row["score"])
    passages = [
        Passage(id=row["_id"], text=row["text"], document=row["_id"], title=row["title"])
        for row in json_lines(folder / "corpus.jsonl")
    ]
    asked = [row for row in json_lines(folder / "queries.jsonl") if row["_id"] in gains][:queries]
    with tempfile.TemporaryDirectory() as scratch, Index.open(Path(scratch) / "i.index") as index:
        index.add(passages)
        retriever = index.retriever()
        judged = []
        for row in asked:
            found = retriever.retrieve(row["text"], depth)
            right = gains[row["_id"]]
            judged.append(
                Judged(
                    row["text"],
                    [each.passage.text_in_context for each in found],
                    [each.score for each in found],
                    [right.get(each.passage.document, 0.0) for each in found],
                    sorted(right.values(), reverse=True),
                )
            )
    return judged


def ndcg(gains: list[float], ideal: list[float], depth: int = 10) -> float:
    """nDCG@depth of gains in the order of a ranking, as trec_eval computes it."""

    def discounted(values: list[float]) -> float:
        return sum(gain / np.log2(at + 2) for at, gain in enumerate(values[:depth]))

    return discounted(gains) / discounted(ideal)


def measures(judged: list[Judged], scores: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """float64[queries]: nDCG@10 of the candidates by these scores, ties in first-stage order."""
    return np.array(
        [
            ndcg([each.gains[at] for at in np.argsort(-by, kind="stable")], each.ideal)
            for each, by in zip(judged, scores, strict=True)
        ]
    )


def interval(difference: NDArray[np.float64], seed: int = 0) -> list[float]:
    """[mean, low, high]: the mean difference and its 95 % interval over resampled queries."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(difference), (ROUNDS, len(difference)))
    low, high = np.percentile(difference[drawn].mean(1), [2.5, 97.5])
    return [round(float(value), 4) for value in (difference.mean(), low, high)]


def by_model(model: CrossEncoder) -> Score:
    """The logits of a cross-encoder, whole texts by windows."""

    def score(judged: list[Judged]) -> list[NDArray[np.float64]]:
        found = []
        for each in judged:
            ranked = sorted(model.rerank(each.query, each.texts), key=lambda line: line.index)
            found.append(np.array([line.score for line in ranked], np.float64))
        return found

    return score


def by_embeddings(encoder: BiEncoder) -> Score:
    """The cosines of a bi-encoder's vectors; passages to its longest row."""

    def vectors(texts: list[str], side: str) -> NDArray[np.float64]:
        told = "\0".join([encoder.fingerprint, side, *texts])
        path = CACHE / f"{hashlib.blake2b(told.encode(), digest_size=12).hexdigest()}.npy"
        if not path.is_file():
            encode = encoder.encode_queries if side == "query" else encoder.encode_passages
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, encode(texts))
        return np.load(path).astype(np.float64)

    def score(judged: list[Judged]) -> list[NDArray[np.float64]]:
        texts = sorted({text for each in judged for text in each.texts})
        places = {text: at for at, text in enumerate(texts)}
        passages = vectors(texts, "passage")
        queries = vectors([each.query for each in judged], "query")
        return [
            passages[[places[text] for text in each.texts]] @ query
            for each, query in zip(judged, queries, strict=True)
        ]

    return score


def blended(
    scores: list[NDArray[np.float64]], judged: list[Judged], weight: float
) -> list[NDArray[np.float64]]:
    """z(scores) + weight * z(first stage), by query."""
    return [
        np.asarray(z_scores(list(by))) + weight * np.asarray(z_scores(each.scores))
        for by, each in zip(scores, judged, strict=True)
    ]


def evaluate_set(judged: list[Judged], models: dict[str, Score]) -> dict[str, object]:
    """Measures of every ranking of one set, and how the last one differs from each other one."""
    scores = {"bm25": [np.array(each.scores, np.float64) for each in judged]}
    for name, score in models.items():
        scores[name] = score(judged)
        scores[f"{name}+bm25"] = blended(scores[name], judged, 1.0 if name == "e5" else 0.3)
    found = {name: measures(judged, by) for name, by in scores.items()}
    new = list(models)[-1]
    return {
        "queries": len(judged),
        "ndcg@10": {name: round(float(values.mean()), 4) for name, values in found.items()},
        "difference": {
            name: interval(found[new] - values) for name, values in found.items() if name != new
        },
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="the folder of the model to judge")
    parser.add_argument("--against", nargs="*", default=["mini"], help="models beside e5")
    parser.add_argument("--data", type=Path, default=SHARED / "data/eval")
    parser.add_argument("--sets", nargs="*", help="names of sets (default: all)")
    parser.add_argument("--queries", type=int, default=36, help="the first so many of each set")
    parser.add_argument("--e5", type=Path, default=Path("build/recipes/e5"), help="its folder")
    parser.add_argument("--out", type=Path, help="a file for the figures")
    args = parser.parse_args()
    models: dict[str, Score] = {}
    if args.e5.is_dir():
        models["e5"] = by_embeddings(BiEncoder.load(args.e5))
    for name in [*args.against, args.model]:
        models[str(name)] = by_model(CrossEncoder.load(name))
    sets = args.sets or sorted(path.name for path in args.data.iterdir() if path.is_dir())
    results: dict[str, object] = {"depth": DEPTH, "model": str(args.model)}
    for name in sets:
        results[name] = evaluate_set(read_set(args.data / name, args.queries, DEPTH), models)
        print(json.dumps({name: results[name]}), flush=True)
    if args.out:
        args.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
