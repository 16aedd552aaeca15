"""Which encoder made these vectors? A name of everything that they depend on.

weights, tokenizer, shape and spec -> sha256
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np

from secondpass.engine.checkpoint import StoredWeights
from secondpass.engine.encoder_spec import EncoderSpec
from secondpass.engine.spec import ModelSpec

FORM = 1  # of what is hashed; a change of it is a change of every fingerprint
# What a forward pass reads of the model's facts beside the shapes of its tensors.
MODEL_FACTS = ("family", "heads", "padding_id", "token_types", "hidden_activation", "eps")


def fingerprint(
    model: ModelSpec, spec: EncoderSpec, weights: StoredWeights, tokenizer_digest: str
) -> str:
    """64 hexadecimal digits; reads every weight once.

    Not in it: how the files are cut and named, precision, backend and threads. int8 turns a vector
    by a few thousandths, so that what it finds in an index made with fp32 is the same.
    """
    facts = {
        "form": FORM,
        "model": {name: value for name, value in asdict(model).items() if name in MODEL_FACTS},
        "spec": asdict(spec),
        "tokenizer": tokenizer_digest,
    }
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    stored = weights.stored()
    for name in sorted(stored):
        if not name.startswith(("embeddings.", "encoder.")):
            continue
        values = np.ascontiguousarray(stored[name])
        total.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        total.update(values.data)
    return total.hexdigest()
