"""How good are the answers? nDCG@10 of BM25 alone, reranked, and reranked with the blend.

    python benchmarks/quality.py --data ../shared/data/eval --sets scifact cmrc2018_dev --queries 100

For each set: index it (one passage a document), take BM25's best `depth` for the first queries by
order of file, score them with each model, and measure with pytrec_eval. A model is a name or folder with
a precision; all score the same candidates, and the last one is what the others are compared with,
so that the cost of a precision shows. Writes
benchmarks/results/quality-SET.json.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytrec_eval
from machine import describe

from secondpass import CrossEncoder, Index, Passage
from secondpass.engine import Compute
from secondpass.pipeline import z_scores

RESULTS = Path(__file__).parent / "results"


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_set(folder: Path, most: int) -> tuple[list[Passage], dict[str, str], dict]:
    """Passages, the first `most` judged queries, and their qrels."""
    passages = [
        Passage(
            id=record["_id"], text=record["text"], document=record["_id"], title=record["title"]
        )
        for record in json_lines(folder / "corpus.jsonl")
    ]
    qrels: dict[str, dict[str, int]] = {}
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    every = {record["_id"]: record["text"] for record in json_lines(folder / "queries.jsonl")}
    judged = ((name, text) for name, text in every.items() if name in qrels)
    queries = dict(itertools.islice(judged, most))
    return passages, queries, {name: qrels[name] for name in queries}


def ndcg(qrels: dict, run: dict[str, dict[str, float]]) -> dict[str, float]:
    """nDCG@10 of each query; a query without candidates counts as 0."""
    measured = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    return {name: measured.get(name, {}).get("ndcg_cut_10", 0.0) for name in qrels}


def interval(differences: list[float], seed: int = 1) -> list[float]:
    """The 95 % bootstrap interval of a mean difference over queries."""
    values = np.array(differences)
    draws = np.random.default_rng(seed).choice(values, (10_000, len(values))).mean(axis=1)
    return [round(float(edge), 4) for edge in np.quantile(draws, [0.025, 0.975])]


def overlap(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> float:
    """The share of the other run's ten best that are among this one's, in the mean of the queries."""
    shares = []
    for query, scores in other.items():
        best = [
            set(sorted(run, key=run.__getitem__, reverse=True)[:10]) for run in (scores, one[query])
        ]
        shares.append(len(best[0] & best[1]) / max(1, len(best[0])))
    return sum(shares) / len(shares)


def load(model: str) -> CrossEncoder:
    name, _, precision = model.partition("@")
    return CrossEncoder.load(name, compute=Compute(precision=precision or "auto"))


def measure(folder: Path, arguments: argparse.Namespace, models: list[CrossEncoder]) -> dict:
    passages, queries, qrels = read_set(folder, arguments.queries)
    runs: dict[str, dict] = {"bm25": {}}
    logits: list[list[float]] = [[] for _ in models]
    seconds = [0.0 for _ in models]
    with tempfile.TemporaryDirectory() as home, Index.open(Path(home) / "set.index") as index:
        index.add(passages)
        retriever = index.retriever()
        for number, (name, query) in enumerate(queries.items(), start=1):
            candidates = retriever.retrieve(query, arguments.depth)
            ids = [candidate.passage.id for candidate in candidates]
            first = [candidate.score for candidate in candidates]
            runs["bm25"][name] = dict(zip(ids, first, strict=True))
            for at, model in enumerate(models):
                start = time.perf_counter()
                texts = [candidate.passage.text_in_context for candidate in candidates]
                scores = [float(s) for s in model.score([(query, text) for text in texts])]
                seconds[at] += time.perf_counter() - start
                logits[at].extend(scores)
                label = Path(arguments.models[at]).name
                blended = [
                    score + model.first_stage_weight * lexical
                    for score, lexical in zip(z_scores(scores), z_scores(first), strict=True)
                ]
                runs.setdefault(label, {})[name] = dict(zip(ids, scores, strict=True))
                blend = f"{label} + {model.first_stage_weight} bm25"
                runs.setdefault(blend, {})[name] = dict(zip(ids, blended, strict=True))
            print(f"\r{folder.name}: {number}/{len(queries)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    per_query = {label: ndcg(qrels, run) for label, run in runs.items()}
    result = {
        "passages": len(passages),
        "queries": len(queries),
        "ndcg_cut_10": {
            label: round(sum(scores.values()) / len(scores), 4)
            for label, scores in per_query.items()
        },
        "difference_to_bm25_95": {
            label: interval([scores[name] - per_query["bm25"][name] for name in qrels])
            for label, scores in per_query.items()
            if label != "bm25"
        },
        "seconds_a_query": {
            Path(label).name: round(total / len(queries), 2)
            for label, total in zip(arguments.models, seconds, strict=True)
        },
    }
    reference = np.array(logits[-1])
    last = Path(arguments.models[-1]).name
    result["compared_with_" + last] = {
        Path(label).name: {
            "largest_logit_difference": round(float(np.abs(values - reference).max()), 4),
            "mean_logit_difference": round(float(np.abs(values - reference).mean()), 4),
            "correlation": round(float(np.corrcoef(values, reference)[0, 1]), 6),
            "top_10_overlap": round(overlap(runs[Path(label).name], runs[last]), 4),
        }
        for label, values in zip(arguments.models[:-1], map(np.array, logits[:-1]), strict=True)
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eval"))
    parser.add_argument("--sets", nargs="+", default=["scifact", "cmrc2018_dev"])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument(
        "--models", nargs="+", default=["mini@int8"], help="NAME@PRECISION, the reference last"
    )
    parser.add_argument("--label", default="quality", help="first part of the result files' names")
    arguments = parser.parse_args()
    models = [load(name) for name in arguments.models]
    RESULTS.mkdir(exist_ok=True)
    for name in arguments.sets:
        report = {
            "what": "nDCG@10 over BM25's best candidates, the first queries of the set",
            "set": name,
            "depth": arguments.depth,
            "models": [Path(model).name for model in arguments.models],
            **describe("secondpass", "numpy", "tokenizers", "pytrec-eval-terrier"),
            **measure(arguments.data / name, arguments, models),
        }
        text = json.dumps(report, indent=2)
        print(text)
        (RESULTS / f"{arguments.label}-{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
