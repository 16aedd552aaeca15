"""How far does the default store carry? Adding, disk, memory and time of a query, 10 k to 1 M passages.

    python benchmarks/scale.py --sizes 10000 30000 100000 300000 1000000

The passages are made of sentences of the training texts, drawn anew with a fixed seed, so that words
are as frequent and vectors as spread as in real texts; the queries are real ones. One index grows
from size to size, and a new process then asks it. Writes benchmarks/results/scale.json after each size.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from machine import describe

from secondpass import Index, Passage
from secondpass.engine import load_encoder
from secondpass.retrieval.index import FIRST_STAGES

RESULT = Path(__file__).parent / "results" / "scale.json"
SEED = 7
QUERIES = 200
DEPTH = 50
SENTENCE = re.compile(r"[^.!?。！？]{8,}[.!?。！？]+")
MOST_SENTENCES = 12_000  # of one set, so that no set is all there is


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            yield pair["query"], pair["positive"]


def read_texts(data: Path) -> tuple[list[list[str]], list[str]]:
    """The sentences of each set, and some queries of each."""
    sets, queries = [], []
    for path in sorted(data.glob("*.jsonl.gz")):
        sentences: dict[str, None] = {}
        for at, (query, passage) in enumerate(read_pairs(path)):
            if at % 97 == 5:
                queries.append(query)
            sentences |= dict.fromkeys(SENTENCE.findall(passage))
            if len(sentences) > MOST_SENTENCES:
                break
        if len(sentences) > 100:
            sets.append(list(sentences))
    return sets, queries


def passages(sets: list[list[str]], first: int, end: int) -> Iterator[Passage]:
    """Passages `first` to `end`, three to seven sentences of one set each, twenty to a document."""
    for number in range(first, end):
        draw = random.Random(SEED * 1_000_003 + number)
        text = " ".join(
            part.strip() for part in draw.choices(draw.choice(sets), k=draw.randint(3, 7))
        )
        yield Passage(id=f"p{number}", text=text, document=f"d{number // 20}")


def resident_mb() -> float:
    """What this process holds, without the file's pages that the system keeps for all."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    anonymous = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(anonymous[1]) / 1024 if anonymous else float("nan")


def ask(path: Path, queries: list[str]) -> dict:
    """Times of a query in milliseconds by first stage, and the memory of this process."""
    out: dict[str, dict | float] = {}
    index = Index.open(path, create=False, load_encoder=load_encoder)
    with index:
        out["resident_mb_before"] = round(resident_mb(), 1)
        for stage in FIRST_STAGES:
            retriever = index.retriever(first_stage=stage)
            start = time.perf_counter()
            retriever.retrieve(queries[0], DEPTH)
            first = 1000 * (time.perf_counter() - start)
            times = []
            for query in queries:
                start = time.perf_counter()
                retriever.retrieve(query, DEPTH)
                times.append(1000 * (time.perf_counter() - start))
            p50, p95 = np.percentile(times, [50, 95])
            out[stage] = {
                "first_ms": round(first, 1),
                "p50_ms": round(float(p50), 1),
                "p95_ms": round(float(p95), 1),
            }
        out["resident_mb"] = round(resident_mb(), 1)
    return out


def grow(path: Path, encoder: str, sets: list[list[str]], first: int, end: int) -> dict:
    with Index.open(path, encoder=encoder, load_encoder=load_encoder) as index:
        start = time.perf_counter()
        index.add(passages(sets, first, end))
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        index.flush()
        flushed = time.perf_counter() - start
        size = index.info().bytes_on_disk
    return {
        "added": end - first,
        "passages_a_second": round((end - first) / seconds, 1),
        "flush_s": round(flushed, 1),
        "disk_mb": round(size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--encoder", default="static")
    parser.add_argument("--index", type=Path, help="where the index is kept, to ask it again")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(ask(given.index, json.load(sys.stdin))))
        return
    sets, every = read_texts(given.data)
    queries = random.Random(SEED).sample(every, QUERIES)
    with tempfile.TemporaryDirectory() as home:
        path = given.index or Path(home) / "scale.index"
        sizes: dict[str, dict] = {}
        with Index.open(path, encoder=given.encoder, load_encoder=load_encoder) as index:
            there = index.count()
        for size in given.sizes:
            grown = grow(path, given.encoder, sets, there, size) if size > there else {}
            there = max(there, size)
            command = [sys.executable, __file__, "--ask", "--index", str(path)]
            done = subprocess.run(command, input=json.dumps(queries), text=True, check=True,
                                  stdout=subprocess.PIPE)  # fmt: skip
            sizes[str(there)] = {**grown, **json.loads(done.stdout)}
            print(there, json.dumps(sizes[str(there)]), flush=True)
            facts = {"encoder": given.encoder, "queries": QUERIES, "depth": DEPTH, "seed": SEED}
            result = {**describe("numpy"), **facts, "sizes": sizes}
            given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
