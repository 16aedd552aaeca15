"""How good is each first stage? R@50 and nDCG@10 of BM25, dense legs and hybrids on the open sets.

    python benchmarks/retrieval.py --encoders static --sets scifact
    python benchmarks/retrieval.py --encoders static all-minilm=FOLDER e5-small=FOLDER

BM25 is the index's own, one passage a document; a dense leg ranks all passages by cosine; a hybrid
is the reciprocal rank fusion (k = 60) of both legs' best 200, with equal weights and with a weight
of the dense leg. Writes benchmarks/results/retrieval.json set by set and keeps there what was
measured before, so that it can be stopped and go on. An encoder is NAME or NAME=FOLDER; a
folder's prompts are those of e5 where its name begins with e5.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytrec_eval
from machine import describe
from quality import interval, read_set

from secondpass import Index, Passage
from secondpass.engine import Compute, Encoding, load_encoder
from secondpass.protocols import Encoder

RESULT = Path(__file__).parent / "results" / "retrieval.json"
DEPTH = 200
RRF_K = 60
MEASURES = ("recall_50", "ndcg_cut_10")
E5 = Encoding(pooling="mean", query_prompt="query: ", passage_prompt="passage: ")

Run = dict[str, dict[str, float]]


def fused(legs: Iterable[tuple[Run, float]]) -> Run:
    """The weighted reciprocal rank fusion of runs."""
    out: Run = {}
    for run, weight in legs:
        for query, scores in run.items():
            total = out.setdefault(query, {})
            for rank, name in enumerate(sorted(scores, key=lambda one: -scores[one]), start=1):
                total[name] = total.get(name, 0.0) + weight / (RRF_K + rank)
    return out


def lexical(passages: list[Passage], queries: Mapping[str, str]) -> Run:
    with (
        tempfile.TemporaryDirectory() as home,
        Index.open(Path(home) / "set.index", encoder="none") as index,
    ):
        index.add(passages)
        retriever = index.retriever()
        return {
            name: {one.passage.id: one.score for one in retriever.retrieve(text, DEPTH)}
            for name, text in queries.items()
        }


def dense(
    encoder: Encoder, passages: list[Passage], queries: Mapping[str, str]
) -> tuple[Run, float]:
    """The run, and how many passages were encoded a second."""
    start = time.perf_counter()
    texts = encoder.encode_passages([one.text_in_context for one in passages])
    seconds = time.perf_counter() - start
    scores = encoder.encode_queries(list(queries.values())) @ texts.T
    run: Run = {}
    for name, row in zip(queries, scores, strict=True):
        best = np.argsort(-row, kind="stable")[:DEPTH]
        run[name] = {passages[at].id: float(row[at]) for at in best}
    return run, len(passages) / seconds


def measured(qrels: Run, run: Run) -> dict[str, dict[str, float]]:
    """Each measure of each query; a query without an answer counts as 0."""
    names = {"recall.50", "ndcg_cut.10"}
    found = pytrec_eval.RelevanceEvaluator(qrels, names).evaluate(run)
    return {
        measure: {query: found.get(query, {}).get(measure, 0.0) for query in qrels}
        for measure in MEASURES
    }


def measure_set(
    folder: Path, encoders: Mapping[str, Encoder], weight: float, most: int
) -> dict[str, dict]:
    passages, queries, qrels = read_set(folder, most)
    words = lexical(passages, queries)
    runs, speeds = {"bm25": words}, {}
    for name, encoder in encoders.items():
        runs[name], speeds[name] = dense(encoder, passages, queries)
        runs[f"bm25 + {name}"] = fused([(words, 1.0), (runs[name], 1.0)])
        runs[f"bm25 + {weight} {name}"] = fused([(words, 1.0), (runs[name], weight)])
    by_query = {name: measured(qrels, run) for name, run in runs.items()}
    out: dict[str, dict] = {}
    for name, values in by_query.items():
        out[name] = {"passages": len(passages), "queries": len(queries)}
        for measure, scores in values.items():
            differences = [scores[one] - by_query["bm25"][measure][one] for one in qrels]
            out[name][measure] = round(float(np.mean(list(scores.values()))), 4)
            out[name][f"{measure}_to_bm25_95"] = interval(differences)
        if name in speeds:
            out[name]["passages_a_second"] = round(speeds[name], 1)
            out[name]["precision"] = getattr(encoders[name], "precision", "its files'")
    return out


def means(sets: Mapping[str, Mapping[str, dict]]) -> dict[str, dict]:
    """The mean over the sets, each counting alike, of what was measured on all of them."""
    everywhere = set.intersection(*(set(one) for one in sets.values()))
    return {
        name: {
            measure: round(float(np.mean([one[name][measure] for one in sets.values()])), 4)
            for measure in MEASURES
        }
        for name in sorted(everywhere)
    }


def load(named: str, precision: str) -> tuple[str, Encoder]:
    name, _, folder = named.partition("=")
    encoding = E5 if name.startswith("e5") else None
    return name, load_encoder(folder or name, encoding=encoding, compute=Compute(precision))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eval"))
    parser.add_argument("--sets", nargs="+", help="default: all")
    parser.add_argument("--encoders", nargs="+", default=["static"], metavar="NAME[=FOLDER]")
    parser.add_argument("--weight", type=float, default=0.5, help="of the dense leg")
    parser.add_argument("--queries", type=int, default=10**9, help="at most, of each set")
    parser.add_argument("--precision", default="auto", help="of encoders that the engine runs")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    names = given.sets or sorted(path.name for path in given.data.iterdir())
    encoders = dict(load(named, given.precision) for named in given.encoders)
    kept = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
    sets: dict[str, dict] = kept.get("sets", {})
    for name in names:
        found = measure_set(given.data / name, encoders, given.weight, given.queries)
        sets[name] = sets.get(name, {}) | found
        report = {
            "what": f"first stages to depth {DEPTH}, reciprocal rank fusion with k={RRF_K}",
            **describe("secondpass", "numpy", "tokenizers", "pytrec-eval-terrier"),
            "mean": means(sets),
            "sets": sets,
        }
        given.out.parent.mkdir(exist_ok=True)
        given.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        shown = {one: [values[measure] for measure in MEASURES] for one, values in found.items()}
        print(name, json.dumps(shown), file=sys.stderr)
    print(json.dumps(means(sets), indent=2))


if __name__ == "__main__":
    main()
