"""A second bi-encoder's opinion of a corpus, which keeps no texts: its tokens are read back.

It says nothing of languages that it does not know: only English is asked of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from recipes.corpus import ENGLISH, Corpus, Ragged
from recipes.mine import Second
from recipes.prepare import TOKENIZER
from secondpass import BiEncoder

BLOCK = 512


def read_second(corpus: Corpus, model: Path, folder: Path) -> Second:
    """The opinion of the model, kept in `folder` once it is whole."""
    english = np.asarray(corpus.language) == ENGLISH
    passages = np.asarray(corpus.passage_language) == ENGLISH
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        encoder = BiEncoder.load(model)
        for name, rows, read in (
            ("passages", corpus.passages, passages),
            ("queries", corpus.queries, english),
        ):
            np.save(part / f"{name}.npy", vectors(encoder, rows, read, as_query=name == "queries"))
        part.rename(folder)
    kept = {
        name: torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("passages", "queries")
    }
    asked = english & passages[np.asarray(corpus.positive)]
    return Second(kept["passages"], kept["queries"], torch.from_numpy(asked))


def vectors(encoder: BiEncoder, rows: Ragged, read: np.ndarray, *, as_query: bool) -> np.ndarray:
    """float16[rows, hidden], nothing but zeros in rows that are not to be read."""
    decode = Tokenizer.from_file(str(TOKENIZER)).decode_batch
    encode = encoder.encode_queries if as_query else encoder.encode_passages
    numbers = np.flatnonzero(read)
    order = numbers[np.argsort(rows.lengths()[numbers], kind="stable")]
    found: np.ndarray | None = None
    for start in range(0, len(order), BLOCK):
        chosen = order[start : start + BLOCK]
        made = encode(decode([rows[int(at)].tolist() for at in chosen]))
        if found is None:
            found = np.zeros((len(rows), made.shape[1]), np.float16)
        found[chosen] = made
    if found is None:
        raise ValueError("none of these texts is in English")
    return found
