"""llama.cpp's rerank pooling through its C interface: Q8_0, one batch of whole rows after another.

Ids come from the checkpoint's own tokenizer, so that a tokenizer that it does not have is no
reason to leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Encoding

from secondpass.engine.spec import ModelSpec
from secondpass.errors import EngineError
from secondpass.evaluation.peers.encoding import PairEncoder, budgeted
from secondpass.evaluation.peers.gguf import gguf_file
from secondpass.evaluation.peers.table import Task, module

ROWS = 256  # of a batch, at most: its own limit


@dataclass(frozen=True, slots=True)
class Ranking:
    """A context whose batches hold at most `tokens`."""

    library: Any
    context: Any
    batch: Any
    encoder: PairEncoder
    vocabulary: int
    tokens: int
    policy: str

    def logits(self, query: str, texts: Sequence[str]) -> list[float]:
        """The raw logits, in the order of texts."""
        rows = self.encoder.encode(query, texts)
        found = [0.0] * len(rows)
        for batch in budgeted(rows, tokens=self.tokens, slack=1.0):
            for at, logit in zip(batch, self._score([rows[at] for at in batch]), strict=True):
                found[at] = logit
        return found

    def _score(self, rows: Sequence[Encoding]) -> list[float]:
        batch, filled = self.batch, 0
        for row, encoding in enumerate(rows):
            for at, (token, kind) in enumerate(zip(encoding.ids, encoding.type_ids, strict=True)):
                # the second token type is a second copy of the vocabulary
                batch.token[filled] = token + self.vocabulary * (kind if self.encoder.typed else 0)
                batch.pos[filled] = at
                batch.n_seq_id[filled] = 1
                batch.seq_id[filled][0] = row
                batch.logits[filled] = 1
                filled += 1
        batch.n_tokens = filled
        code = self.library.llama_encode(self.context, batch)
        if code:
            raise EngineError(f"llama.cpp refuses a batch of {filled} tokens with code {code}")
        return [
            self.library.llama_get_embeddings_seq(self.context, row)[0] for row in range(len(rows))
        ]


def load(task: Task) -> Ranking:
    """Writes the GGUF file on the first load."""
    library = module("llama_cpp")
    library.llama_backend_init()
    model = library.llama_model_load_from_file(
        str(gguf_file(task)).encode(), library.llama_model_default_params()
    )
    if not model:
        raise EngineError("llama.cpp cannot load the GGUF file; what it said is above")
    params = library.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = task.max_tokens
    params.n_seq_max = ROWS
    params.n_threads = params.n_threads_batch = task.threads
    params.embeddings = True
    params.pooling_type = library.LLAMA_POOLING_TYPE_RANK
    context = library.llama_init_from_model(model, params)
    if not context:
        raise EngineError("llama.cpp cannot make a context for the model; what it said is above")
    batch = library.llama_batch_init(task.max_tokens, 0, 1)
    spec, policy = ModelSpec.read(task.model), f"Q8_0, sorted, {task.max_tokens} tokens"
    return Ranking(
        library, context, batch, PairEncoder.open(task), spec.vocabulary, task.max_tokens, policy
    )
