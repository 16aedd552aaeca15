"""Does training on one's own documents pay? nDCG@10 before and after, on questions held out.

    python benchmarks/own_documents.py ../shared/data/train/espfaq.jsonl.gz --epochs 1

Of a file of pairs every right text is a document. Questions are shuffled by the seed: the last are
held out, and hard negatives are mined for the others from an index of all documents. The bundled
model is trained on them by `secondpass train`'s own defaults, but for what the options say. The best
of the index's candidates for each held-out question are ordered by the model before and after, alone
and blended with the first stage. A run that was killed goes on. Adds to
benchmarks/results/own-documents.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from machine import describe
from quality import RESULTS, Scored, differences, means, ndcg

from secondpass import CrossEncoder, Index, Passage
from secondpass.training import Mining, Pairs, mine
from secondpass.training.pairs import key_of
from secondpass.training.progress import Minutes, Watch
from secondpass.training.recipe import Recipe
from secondpass.training.run import train

STAGE = "hybrid"
Question = tuple[str, list[str]]


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def read_questions(path: Path, seed: int) -> list[Question]:
    """Each question with its right texts, in an order that the seed decides."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    questions: dict[str, tuple[str, list[str]]] = {}
    for row in rows:
        question = questions.setdefault(key_of(row["query"]), (row["query"], []))
        question[1].append(row["positive"])
    order = list(questions.values())
    random.Random(seed).shuffle(order)
    return order


def mined_lists(work: Path, learnt: list[Question], index: Index, seed: int) -> Path:
    path = work / "mined.jsonl"
    if not path.exists():
        pairs = Pairs.of([(query, right) for query, rights in learnt for right in rights])
        report = mine(pairs, index, path, mining=Mining(seed=seed))
        tell(f"{report.lists} lists, {report.negatives} negatives")
    return path


def trained(work: Path, lists: Path, arguments: argparse.Namespace) -> tuple[Path, dict | None]:
    """The folder of the trained model, and what its run said; None where it was there."""
    out = work / "model"
    if out.exists():
        return out, None
    given = {"data": str(lists), "out": str(out), "seed": arguments.seed, "device": "cpu"}
    options = {"learning_rate": arguments.learning_rate, "epochs": arguments.epochs}
    recipe = Recipe.read(given | options | {"teacher_weight": arguments.teacher_weight})
    done = train(recipe, watch=Watch(say=tell, at=Minutes(tell).at))
    return out, {"recipe": asdict(recipe), "run": asdict(done)}


def measure(
    index: Index,
    numbers: dict[str, str],
    held_out: list[Question],
    models: list[Scored],
    depth: int,
) -> dict:
    """nDCG@10 of each order of the candidates, and the differences to the order before training."""
    retriever = index.retriever(first_stage=STAGE)
    runs: dict[str, dict[str, dict[str, float]]] = {STAGE: {}}
    qrels: dict[str, dict[str, int]] = {}
    for at, (query, rights) in enumerate(held_out):
        name = str(at)
        found = retriever.retrieve(query, depth)
        qrels[name] = {numbers[right]: 1 for right in rights}
        runs[STAGE][name] = {one.passage.id: one.score for one in found}
        texts = {one.passage.id: one.passage.text_in_context for one in found}
        for scored in models:
            scored.order(STAGE, name, found, scored.score(query, texts))
    for scored in models:
        runs |= scored.runs
    per_query = {label: ndcg(qrels, run) for label, run in runs.items()}
    return {
        "ndcg_cut_10": means(per_query),
        "difference_to_before_95": differences(per_query, f"{STAGE} > before"),
        "found": round(
            float(np.mean([bool(qrels[name].keys() & runs[STAGE][name]) for name in qrels])), 4
        ),
    }


def of_file(path: Path, arguments: argparse.Namespace) -> dict:
    """Index, mine, train and measure one file of pairs."""
    work = arguments.work / path.name.partition(".")[0]
    work.mkdir(parents=True, exist_ok=True)
    questions = read_questions(path, arguments.seed)
    learnt, held_out = questions[: arguments.lists], questions[-arguments.held_out :]
    if len(learnt) + len(held_out) > len(questions):
        raise SystemExit(f"'{path}' has {len(questions)} questions; pass fewer --lists")
    texts = dict.fromkeys(right for _, rights in questions for right in rights)
    numbers = {text: str(at) for at, text in enumerate(texts)}
    with Index.open(work / "own.index") as index:
        if not index.count():
            index.add(Passage(id=at, text=text, document=at) for text, at in numbers.items())
        lists = mined_lists(work, learnt, index, arguments.seed)
        folder, run = trained(work, lists, arguments)
        models = [
            Scored("before", CrossEncoder.load()),
            Scored("after", CrossEncoder.load(folder / "int8")),
        ]
        measured = measure(index, numbers, held_out, models, arguments.depth)
    return {
        "passages": len(texts),
        "lists": len(learnt),
        "held_out": len(held_out),
        "depth": arguments.depth,
        "seed": arguments.seed,
        "training": run,
        **measured,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="pairs, .jsonl.gz")
    parser.add_argument("--work", type=Path, default=Path("build/own"))
    parser.add_argument("--lists", type=int, default=1000, help="questions to learn from")
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--teacher-weight", type=float)
    arguments = parser.parse_args()
    out = RESULTS / "own-documents.json"
    known = json.loads(out.read_text(encoding="utf-8"))["sets"] if out.is_file() else {}
    for path in arguments.files:
        name = path.name.partition(".")[0]
        known[name] = of_file(path, arguments)
        result = {
            "what": "nDCG@10 on held-out questions, before and after training on other questions",
            **describe("secondpass", "numpy", "torch", "sentence-transformers"),
            "sets": known,
        }
        text = json.dumps(result, indent=2, default=str, ensure_ascii=False)
        print(text)
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
