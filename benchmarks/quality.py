"""How good are the answers? nDCG@10 of the first stages, reranked, and reranked with the blend.

    python benchmarks/quality.py --data ../shared/data/eval --sets scifact cmrc2018_dev --queries 100

For each set: index it (one passage a document), take the best `depth` of BM25 and of the hybrid for
the first queries by order of file, score them with each model, and measure with pytrec_eval. A model is a name or folder with
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
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytrec_eval
from machine import describe

from secondpass import Candidate, CrossEncoder, Index, Passage
from secondpass.engine import Compute
from secondpass.pipeline import first_stage_z_scores, z_scores

RESULTS = Path(__file__).parent / "results"

Run = dict[str, dict[str, float]]


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


def means(per_query: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean over the queries of each order."""
    return {
        label: round(sum(scores.values()) / len(scores), 4) for label, scores in per_query.items()
    }


def differences(per_query: dict[str, dict[str, float]], to: str) -> dict[str, list[float]]:
    """The 95 % intervals of the mean differences of all other orders to the one labelled `to`."""
    other = per_query[to]
    return {
        label: interval([scores[name] - other[name] for name in other])
        for label, scores in per_query.items()
        if label != to
    }


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


@dataclass(slots=True, eq=False)
class Scored:
    """What one model said: runs by the first stage that it follows, logits and seconds."""

    label: str
    model: CrossEncoder
    runs: dict[str, Run] = field(default_factory=dict)
    logits: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def score(self, query: str, texts: dict[str, str]) -> dict[str, float]:
        start = time.perf_counter()
        scores = self.model.score([(query, text) for text in texts.values()])
        self.seconds += time.perf_counter() - start
        self.logits.extend(map(float, scores))
        return dict(zip(texts, map(float, scores), strict=True))

    def order(
        self, stage: str, name: str, found: list[Candidate], logits: dict[str, float]
    ) -> None:
        """Add the query's answers, by the model alone and with the first stage's weight."""
        scores = [logits[one.passage.id] for one in found]
        weight = self.model.first_stage_weight
        blended = [
            score + weight * other
            for score, other in zip(z_scores(scores), first_stage_z_scores(found), strict=True)
        ]
        for label, values in ((self.label, scores), (f"{self.label} + {weight} first", blended)):
            run = self.runs.setdefault(f"{stage} > {label}", {})
            run[name] = {one.passage.id: at for one, at in zip(found, values, strict=True)}


def measure(folder: Path, arguments: argparse.Namespace, models: list[Scored]) -> dict:
    passages, queries, qrels = read_set(folder, arguments.queries)
    runs: dict[str, Run] = {}
    with tempfile.TemporaryDirectory() as home, Index.open(Path(home) / "set.index") as index:
        index.add(passages)
        stages = {stage: index.retriever(first_stage=stage) for stage in ("lexical", "hybrid")}
        for number, (name, query) in enumerate(queries.items(), start=1):
            found = {
                stage: retriever.retrieve(query, arguments.depth)
                for stage, retriever in stages.items()
            }
            every = [one.passage for candidates in found.values() for one in candidates]
            texts = {passage.id: passage.text_in_context for passage in every}
            for stage, candidates in found.items():
                run = runs.setdefault(stage, {})
                run[name] = {one.passage.id: one.score for one in candidates}
            for scored in models:
                logits = scored.score(query, texts)
                for stage, candidates in found.items():
                    scored.order(stage, name, candidates, logits)
            print(f"\r{folder.name}: {number}/{len(queries)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    for scored in models:
        runs |= scored.runs
    return {"passages": len(passages), "queries": len(queries), **report(qrels, runs, models)}


def report(qrels: dict, runs: dict[str, Run], models: list[Scored]) -> dict:
    per_query = {label: ndcg(qrels, run) for label, run in runs.items()}
    last = models[-1]
    reference = np.array(last.logits)
    return {
        "ndcg_cut_10": means(per_query),
        "difference_to_lexical_95": differences(per_query, "lexical"),
        "seconds_a_query": {one.label: round(one.seconds / len(qrels), 2) for one in models},
        "compared_with_" + last.label: {
            one.label: compared(one, last, np.array(one.logits) - reference) for one in models[:-1]
        },
    }


def compared(one: Scored, last: Scored, differences: np.ndarray) -> dict:
    ours, theirs = (f"lexical > {scored.label}" for scored in (one, last))
    return {
        "largest_logit_difference": round(float(np.abs(differences).max()), 4),
        "mean_logit_difference": round(float(np.abs(differences).mean()), 4),
        "correlation": round(float(np.corrcoef(one.logits, last.logits)[0, 1]), 6),
        "top_10_overlap": round(overlap(one.runs[ours], last.runs[theirs]), 4),
    }


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
    loaded = [(Path(name).name, load(name)) for name in arguments.models]
    RESULTS.mkdir(exist_ok=True)
    for name in arguments.sets:
        models = [Scored(label, model) for label, model in loaded]
        result = {
            "what": "nDCG@10 of first stages and of what follows them, the first queries of the set",
            "set": name,
            "depth": arguments.depth,
            "models": [Path(model).name for model in arguments.models],
            **describe("secondpass", "numpy", "tokenizers", "pytrec-eval-terrier"),
            **measure(arguments.data / name, arguments, models),
        }
        text = json.dumps(result, indent=2)
        print(text)
        (RESULTS / f"{arguments.label}-{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
