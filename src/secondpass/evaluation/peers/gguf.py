"""A checkpoint as a GGUF file for llama.cpp, in its Q8_0: int8 with a scale for 32 weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.checkpoint import StoredWeights, load_weights
from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput
from secondpass.evaluation.peers.table import Task, module
from secondpass.evaluation.plain import fingerprint

Array = NDArray[np.float32]
# What each of our modules is called there; of a layer, after 'blk.N.'.
OUTSIDE = {"embeddings.LayerNorm": "token_embd_norm", "dense": "cls", "logit": "cls.output"}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
BLOCK = 32  # weights that share a scale


def gguf_file(task: Task) -> Path:
    """The file of the task's checkpoint in its cache, written when it is not there yet."""
    path = task.cache / f"q8-{fingerprint(task.model)}.gguf"
    if not path.is_file():
        spec = ModelSpec.read(task.model)
        if spec.hidden_activation != "gelu":
            raise InvalidInput(
                f"hidden_act '{spec.hidden_activation}' is not what llama.cpp computes in a BERT; "
                "expected gelu; leave the engine out"
            )
        half_done = path.with_suffix(".part")
        _write(spec, load_weights(task.model, spec), half_done)
        half_done.rename(path)
    return path


def _write(spec: ModelSpec, weights: StoredWeights, path: Path) -> None:
    gguf = module("gguf")
    writer = gguf.GGUFWriter(str(path), "bert")
    words, positions = embeddings(spec, weights)
    writer.add_context_length(len(positions))
    writer.add_embedding_length(spec.hidden)
    writer.add_feed_forward_length(spec.intermediate)
    writer.add_block_count(spec.layers)
    writer.add_head_count(spec.heads)
    writer.add_layer_norm_eps(spec.eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(["relevance"])
    writer.add_tokenizer_model("none")  # it is handed ids
    writer.add_vocab_size(len(words))
    writer.add_token_type_count(1)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _add(writer, "token_embd.weight", words)
    writer.add_tensor("position_embd.weight", positions)
    names = {name: OUTSIDE[name] for name in OUTSIDE}
    for layer in range(spec.layers):
        names |= {f"encoder.layer.{layer}.{our}": f"blk.{layer}.{LAYER[our]}" for our in LAYER}
    for our, theirs in names.items():
        _add(writer, f"{theirs}.weight", weights[f"{our}.weight"])
        writer.add_tensor(f"{theirs}.bias", np.ascontiguousarray(weights[f"{our}.bias"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def embeddings(spec: ModelSpec, weights: StoredWeights) -> tuple[Array, Array]:
    """The rows of words and of positions, as llama.cpp can use them.

    It knows one token type: words of the second are a second copy of the vocabulary, so that the
    logits are those of the model. Positions start where the family starts them.
    """
    words = np.array(weights["embeddings.word_embeddings.weight"], dtype=np.float32)
    types = weights.get("embeddings.token_type_embeddings.weight")
    if types is not None:
        words = np.concatenate([words + kind for kind in np.asarray(types, dtype=np.float32)])
    first = 0 if spec.padding_id is None else spec.padding_id + 1
    positions = np.array(weights["embeddings.position_embeddings.weight"][first:], np.float32)
    return words, positions


def _add(writer: Any, name: str, values: NDArray[Any]) -> None:
    """As Q8_0 where it is a matrix that the blocks divide; the head is small, and stays."""
    values = np.array(values, dtype=np.float32, order="C")
    if values.ndim == 1 or values.shape[1] % BLOCK or name.startswith("cls"):
        writer.add_tensor(name, values)
        return
    gguf = module("gguf")
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
