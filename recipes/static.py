"""The bundled encoder `static`: token vectors distilled from multilingual-e5-small, then trained.

    python recipes/static.py --e5 build/e5-small --data ../shared/data/train --work build/static

pieces -> e5 -> PCA -> frequency weights -> contrastive training on (query, passage) pairs -> int8

`--e5` is the whole of multilingual-e5-small as a Hugging Face checkpoint. Every step keeps what it
made under `--work` and is not repeated. The same seed and number of threads give the same model.
Needs torch; takes about 20 minutes of one core. Nothing here ever sees an evaluation set.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from secondpass.engine import BiEncoder, Compute, Encoding, bundled_models
from secondpass.engine.locate import locate
from secondpass.engine.quantise import quantise_rows

TOKENIZER_OF = "mini"  # the bundled model whose pieces have vectors here
SPACE = "\u2581"
PAD = 1
HELD_OUT = 60  # one query in so many, by the hash of its text, is for validation
MOST_TOKENS = 160  # of a passage that training reads
SIF = 1e-3  # a in a / (a + p): tokens far more frequent than this count less
QUESTIONS = frozenset(
    "medquad squad_sentences squad_sentences2 toyhom_medical_zh drcd_dev_zh cmrc_trial_zh "
    "cmrc_train_zh covid stackexchange stackexchange3 stackexchange4 tatqa policyqa nq_dev boolq_dev "
    "dureader_zh mslearn_faq_zh mslearn_faq_en oss_faq espfaq fetaqa strategyqa selqa_dev "
    "openstax_qa csl_zh cross_en_zh".split()
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What training does; written into the model's folder."""

    dimension: int = 240
    seed: int = 7
    epochs: float = 2.0
    batch: int = 1024
    rate: float = 0.003
    temperature: float = 0.05
    question_weight: int = 2  # how often a pair of a set of real questions is seen in an epoch
    leave_out: str = ""  # sets not trained on, for choosing a plan by texts of other kinds


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Rows of different lengths in one array: row i is values[starts[i]:starts[i + 1]]."""

    values: np.ndarray
    starts: np.ndarray

    def rows(self, at: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """The first `most` values of these rows, end to end, and where each begins."""
        lengths = np.minimum(self.starts[at + 1] - self.starts[at], most)
        begins = np.concatenate([[0], np.cumsum(lengths)])
        inside = np.arange(begins[-1]) - np.repeat(begins[:-1], lengths)
        return self.values[np.repeat(self.starts[at], lengths) + inside], begins[:-1]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Queries and passages as ids; `passage[q]` answers query q."""

    queries: Ragged
    passages: Ragged
    passage: np.ndarray
    source: np.ndarray
    held_out: np.ndarray
    sources: list[str]


def read_pairs(data: Path, work: Path) -> Pairs:
    """Every pair of every set, tokenised once."""
    kept = work / "pairs.npz"
    if not kept.is_file():
        names = sorted(data.glob("*.jsonl.gz"))
        queries: list[str] = []
        passages: dict[str, int] = {}
        passage, source, held_out = [], [], []
        for number, path in enumerate(names):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    pair = json.loads(line)
                    queries.append(pair["query"])
                    passage.append(passages.setdefault(pair["positive"], len(passages)))
                    source.append(number)
                    mark = hashlib.sha256(pair["query"].encode()).digest()
                    held_out.append(int.from_bytes(mark[:4], "big") % HELD_OUT == 0)
        query_ids, passage_ids = tokenised(queries), tokenised(list(passages))
        np.savez(
            kept,
            queries=query_ids.values,
            query_starts=query_ids.starts,
            passages=passage_ids.values,
            passage_starts=passage_ids.starts,
            passage=np.array(passage),
            source=np.array(source),
            held_out=np.array(held_out),
            sources=np.array([path.name.partition(".")[0] for path in names]),
        )
    stored = np.load(kept)
    return Pairs(
        Ragged(stored["queries"], stored["query_starts"]),
        Ragged(stored["passages"], stored["passage_starts"]),
        stored["passage"],
        stored["source"],
        stored["held_out"],
        [str(name) for name in stored["sources"]],
    )


def tokenised(texts: list[str]) -> Ragged:
    tokenizer = Tokenizer.from_file(str(locate(TOKENIZER_OF) / "tokenizer.json"))
    parts, lengths = [], [0]
    for start in range(0, len(texts), 2000):
        # Queries are typed in small letters; names of few texts would not be found by them.
        lowered = [text.lower() for text in texts[start : start + 2000]]
        for coded in tokenizer.encode_batch_fast(lowered, add_special_tokens=False):
            parts.append(np.array(coded.ids, dtype=np.uint16))
            lengths.append(len(coded.ids))
    return Ragged(np.concatenate(parts), np.cumsum(lengths))


def frequencies(pairs: Pairs, vocabulary: int) -> np.ndarray:
    """The share of each piece among all tokens of the passages."""
    counts = np.bincount(pairs.passages.values, minlength=vocabulary)
    return (counts + 1) / (counts.sum() + vocabulary)


def distilled(e5: Path, work: Path, dimension: int, share: np.ndarray) -> np.ndarray:
    """Every piece through e5, its main directions, each piece weighted by its rarity."""
    kept = work / "pieces.npy"
    if not kept.is_file():
        tokenizer = Tokenizer.from_file(str(locate(TOKENIZER_OF) / "tokenizer.json"))
        pieces = [tokenizer.id_to_token(at) for at in range(tokenizer.get_vocab_size())]
        texts = [piece.replace(SPACE, " ").strip() or piece for piece in pieces]
        encoding = Encoding(pooling="mean", query_prompt="query: ", passage_prompt="passage: ")
        with BiEncoder.load(e5, encoding=encoding, compute=Compute("int8")) as encoder:
            np.save(kept, encoder.encode_passages(texts))
    vectors = np.load(kept).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    values, directions = np.linalg.eigh(vectors.T @ vectors)
    main = vectors @ directions[:, np.argsort(values)[::-1][:dimension]]
    weighted = main * (SIF / (SIF + share))[:, None]
    return (weighted / np.linalg.norm(weighted, axis=1).mean()).astype(np.float32)


def pooled(vectors: np.ndarray, rows: Ragged, most: int = 10**9) -> np.ndarray:
    """The normalised mean vector of each row."""
    out = np.zeros((len(rows.starts) - 1, vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(out), 2000):
        at = np.arange(start, min(start + 2000, len(out)))
        at = at[rows.starts[at + 1] > rows.starts[at]]
        if len(at):
            ids, begins = rows.rows(at, most)
            out[at] = np.add.reduceat(vectors[ids], begins, axis=0)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


def validate(vectors: np.ndarray, pairs: Pairs, plan: Plan, seed: int = 1) -> dict[str, float]:
    """nDCG@10 and recall@50 of held-out queries among their passages and 30,000 others."""
    unseen = np.isin(pairs.source, left_out(pairs, plan))
    asked = np.flatnonzero(pairs.held_out | (unseen & (np.arange(len(unseen)) % 5 == 0)))
    others = np.random.default_rng(seed).permutation(len(pairs.passages.starts) - 1)[:30_000]
    pool = np.unique(np.concatenate([pairs.passage[asked], others]))
    ids, begins = pairs.passages.rows(pool, 512)
    texts = pooled(vectors, Ragged(ids, np.append(begins, len(ids))))
    ids, begins = pairs.queries.rows(asked, 512)
    queries = pooled(vectors, Ragged(ids, np.append(begins, len(ids))))
    right = np.searchsorted(pool, pairs.passage[asked])
    rank = np.empty(len(asked), dtype=np.int64)
    for start in range(0, len(asked), 500):
        part = slice(start, start + 500)
        scores = queries[part] @ texts.T
        rank[part] = (scores > np.take_along_axis(scores, right[part, None], 1)).sum(axis=1)
    gain = np.where(rank < 10, 1 / np.log2(rank + 2), 0)
    names = np.array(pairs.sources)[pairs.source[asked]]
    questions = np.isin(names, list(QUESTIONS))
    chinese = np.char.endswith(names, "_zh")
    groups = {"all": slice(None), "questions": questions, "headings": ~questions}
    groups |= {"chinese": chinese, "english": ~chinese}
    if plan.leave_out:
        other = unseen[asked]
        groups |= {"unseen chinese": other & chinese, "unseen english": other & ~chinese}
    return {
        f"{measure} {group}": round(float(values[mask].mean()), 4)
        for measure, values in (("ndcg@10", gain), ("r@50", rank < 50))
        for group, mask in groups.items()
    }


def left_out(pairs: Pairs, plan: Plan) -> list[int]:
    names = plan.leave_out.split(",")
    return [number for number, name in enumerate(pairs.sources) if name in names]


def batches(pairs: Pairs, plan: Plan):
    """Endless (queries, passages): a batch is of one set, so that its passages are near each other."""
    rng = np.random.default_rng(plan.seed)
    usable = ~pairs.held_out & ~np.isin(pairs.passage, pairs.passage[pairs.held_out])
    usable &= ~np.isin(pairs.source, left_out(pairs, plan))
    while True:
        epoch = []
        for number, name in enumerate(pairs.sources):
            own = np.flatnonzero(usable & (pairs.source == number))
            for _ in range(plan.question_weight if name in QUESTIONS else 1):
                mixed = rng.permutation(own)
                epoch += np.array_split(mixed, max(1, round(len(mixed) / (plan.batch // 2))))
        order = rng.permutation(len(epoch))
        for first, second in zip(order[::2], order[1::2], strict=False):
            yield np.concatenate([epoch[first], epoch[second]])


def train(vectors: np.ndarray, pairs: Pairs, plan: Plan, log) -> np.ndarray:
    """The vectors after contrastive training: each query against the passages of its batch."""
    import torch

    torch.manual_seed(plan.seed)
    bag = torch.nn.EmbeddingBag.from_pretrained(
        torch.from_numpy(vectors.copy()), mode="mean", freeze=False
    )
    optimizer = torch.optim.Adam(bag.parameters(), lr=plan.rate, betas=(0.9, 0.99), fused=True)
    drawn = sum(
        (plan.question_weight if name in QUESTIONS else 1) * int((pairs.source == at).sum())
        for at, name in enumerate(pairs.sources)
    )
    steps = int(plan.epochs * drawn / plan.batch)
    began, feed, total = time.time(), batches(pairs, plan), 0.0
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = plan.rate * rate_at(step / steps)
        at = next(feed)
        sides = []
        for rows, numbers in ((pairs.queries, at), (pairs.passages, pairs.passage[at])):
            ids, begins = rows.rows(numbers, MOST_TOKENS)
            pool = bag(torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(begins))
            sides.append(torch.nn.functional.normalize(pool))
        scores = sides[0] @ sides[1].T / plan.temperature
        numbers = torch.from_numpy(pairs.passage[at])
        same = (numbers[:, None] == numbers) & ~torch.eye(len(at), dtype=torch.bool)
        scores = scores.masked_fill(same, -1e4)
        target = torch.arange(len(at))
        loss = torch.nn.functional.cross_entropy(scores, target)
        loss = (loss + torch.nn.functional.cross_entropy(scores.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        if step % 50 == 49:
            log(
                {
                    "step": step + 1,
                    "of": steps,
                    "loss": round(total / 50, 4),
                    "s": round(time.time() - began),
                }
            )
            total = 0.0
    return bag.weight.detach().numpy()


def rate_at(share: float) -> float:
    """Up over the first twentieth, then down in a straight line."""
    return min(share / 0.05, (1 - share) / 0.95)


def write(vectors: np.ndarray, folder: Path, plan: Plan, measured: dict[str, float]) -> None:
    """The model's folder: int8 rows and their scales; the tokenizer stays where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    levels, scales = quantise_rows(vectors)
    save_file(
        {"embeddings": levels, "weights": scales},
        folder / "model.safetensors",
        metadata={"format": "model2vec"},
    )
    (folder / "model.safetensors").chmod(0o644)
    config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "hidden_dim": vectors.shape[1],
        "normalize": True,
    }
    facts = {"tokenizer_of": TOKENIZER_OF, "lowercase": True}
    (folder / "secondpass.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    made = {"plan": asdict(plan), "validation": measured}
    (folder / "training.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--e5", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    parser.add_argument("--work", type=Path, default=Path("build/static"))
    parser.add_argument("--out", type=Path, help="the model's folder (default: WORK/model)")
    parser.add_argument("--threads", type=int, default=1)
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plan = Plan(**{name: getattr(given, name) for name in asdict(Plan())})
    given.work.mkdir(parents=True, exist_ok=True)
    assert TOKENIZER_OF in bundled_models()

    def log(line: dict) -> None:
        print(json.dumps(line), flush=True)

    pairs = read_pairs(given.data, given.work)
    vocabulary = json.loads((locate(TOKENIZER_OF) / "config.json").read_text())["vocab_size"]
    share = frequencies(pairs, vocabulary)
    vectors = distilled(given.e5, given.work, plan.dimension, share)
    log({"distilled": validate(vectors, pairs, plan)})
    if plan.epochs > 0:
        vectors = train(vectors, pairs, plan, log)
    measured = validate(vectors, pairs, plan)
    log({"trained": measured})
    np.save(given.work / "vectors.npy", vectors)
    write(vectors, given.out or given.work / "model", plan, measured)


if __name__ == "__main__":
    main()
