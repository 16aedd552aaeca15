"""A checkpoint as an ONNX graph of standard operators, for the engines that read one.

Written operator by operator from the safetensors file: no torch, no exporter, and with
`first_only` the last layer computes the first token's row alone, as the native engine does.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.checkpoint import StoredWeights, load_weights
from secondpass.engine.spec import ModelSpec
from secondpass.errors import InvalidInput
from secondpass.evaluation.peers.table import Task, module
from secondpass.evaluation.plain import fingerprint

OPSET = 17
CONTRIBUTED = "com.microsoft"  # ONNX Runtime's own operators
PLAIN, INT8 = "model.onnx", "model.int8.onnx"


@dataclass(frozen=True, slots=True)
class Form:
    """Which graph: the first token only in the last layer, and attention as one operator or many.

    The one operator takes padded batches only if `masked`; the many always do.
    """

    first_only: bool = False
    contributed: bool = False
    masked: bool = False

    @property
    def name(self) -> str:
        """A part of the file's folder."""
        contributed = f"-contributed{'-masked' * self.masked}" * self.contributed
        return f"onnx{'-first' * self.first_only}{contributed}"


def onnx_file(task: Task, form: Form | None = None) -> Path:
    """The graph of the task's checkpoint in its cache, written when it is not there yet."""
    form = form or Form()
    folder = task.cache / f"{form.name}-{fingerprint(task.model)}"
    if not folder.is_dir():
        half_done = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(half_done, ignore_errors=True)
        half_done.mkdir(parents=True)
        spec = ModelSpec.read(task.model)
        _save(_Graph(spec, load_weights(task.model, spec), form).model(), half_done / PLAIN)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(task.model / name, half_done / name)
        half_done.rename(folder)
    return folder / PLAIN


def int8_file(task: Task, form: Form | None = None) -> Path:
    """The same with int8 weights, a scale an output channel, and dynamic int8 activations."""
    plain = onnx_file(task, form)
    path = plain.with_name(INT8)
    if not path.is_file():
        quantisation = module("onnxruntime.quantization")
        half_done = plain.with_name("half.onnx")
        quantisation.quantize_dynamic(
            plain,
            half_done,
            per_channel=True,
            weight_type=quantisation.QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gather"],
            # of what a contributed operator gives, for which shapes cannot be inferred
            extra_options={"DefaultTensorType": module("onnx").TensorProto.FLOAT},
        )
        half_done.rename(path)
    return path


def _save(model: object, path: Path) -> None:
    """Weights beside the graph: protobuf ends at 2 GB."""
    module("onnx").save_model(
        model,
        str(path),
        save_as_external_data=True,
        location=f"{path.name}_data",
        size_threshold=4096,
    )


@dataclass(slots=True)
class _Graph:
    spec: ModelSpec
    weights: StoredWeights
    form: Form
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def model(self) -> Any:
        helper, kind = module("onnx.helper"), module("onnx").TensorProto
        state = self._embed()
        for layer in range(self.spec.layers):
            last = self.form.first_only and layer == self.spec.layers - 1
            state = self._layer(f"encoder.layer.{layer}.", state, last=last)
        first = self.add("Gather", state, self.ints(0), given={"axis": 1})
        pooled = self.add("Tanh", self.linear("dense", first))
        self.nodes.append(helper.make_node("Identity", [self.linear("logit", pooled)], ["logits"]))
        names = ["input_ids", "attention_mask", *(["token_type_ids"] * self.typed)]
        inputs = [
            helper.make_tensor_value_info(name, kind.INT64, ["rows", "tokens"]) for name in names
        ]
        output = helper.make_tensor_value_info("logits", kind.FLOAT, ["rows", 1])
        graph = helper.make_graph(self.nodes, "cross-encoder", inputs, [output], self.constants)
        domains = [helper.make_opsetid("", OPSET)]
        domains += [helper.make_opsetid(CONTRIBUTED, 1)] * self.form.contributed
        return helper.make_model(graph, opset_imports=domains, ir_version=8)

    @property
    def typed(self) -> bool:
        return self.spec.token_types > 1

    def add(self, operator: str, *inputs: str, given: Mapping[str, object] | None = None) -> str:
        """The name of a new node's output; `given` are its attributes."""
        helper = module("onnx.helper")
        out = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [out], name=out, **(given or {}))
        )
        return out

    def constant(self, values: NDArray[Any]) -> str:
        name = f"c{len(self.constants)}"
        made = module("onnx.numpy_helper").from_array(np.array(values, order="C"), name)
        self.constants.append(made)
        return name

    def ints(self, *values: int) -> str:
        """A constant int64: a number for one value, else a vector."""
        return self.constant(np.array(values[0] if len(values) == 1 else values, dtype=np.int64))

    def vectors(self, *values: int) -> list[str]:
        """Constants int64[1], as Slice takes its bounds and axes."""
        return [self.constant(np.array([value], dtype=np.int64)) for value in values]

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def linear(self, name: str, state: str) -> str:
        product = self.add("MatMul", state, self.constant(self.weights[f"{name}.weight"].T))
        return self.add("Add", product, self.constant(self.weights[f"{name}.bias"]))

    def norm(self, name: str, state: str) -> str:
        parts = [self.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias")]
        return self.add(
            "LayerNormalization", state, *parts, given={"axis": -1, "epsilon": self.spec.eps}
        )

    def _embed(self) -> str:
        table = {
            kind: self.weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position")
        }
        words = self.add("Gather", self.constant(table["word"]), "input_ids")
        if self.spec.padding_id is None:
            length = self.add("Slice", self.add("Shape", "input_ids"), *self.vectors(1, 2))
            zero = self.constant(np.array([0]))
            positions = self.add("Slice", self.constant(table["position"]), zero, length, zero)
        else:  # RoBERTa counts what is no padding, from the padding id on
            counted = self.add("CumSum", "attention_mask", self.ints(1))
            counted = self.add("Mul", counted, "attention_mask")
            places = self.add("Add", counted, self.ints(self.spec.padding_id))
            positions = self.add("Gather", self.constant(table["position"]), places)
        total = self.add("Add", words, positions)
        types = self.weights.get("embeddings.token_type_embeddings.weight")
        if types is not None and self.typed:
            total = self.add(
                "Add", total, self.add("Gather", self.constant(types), "token_type_ids")
            )
        elif types is not None:
            total = self.add("Add", total, self.constant(types[0]))
        return self.norm("embeddings.LayerNorm", total)

    def _layer(self, at: str, state: str, *, last: bool) -> str:
        asking = state
        if last:
            asking = self.add("Slice", state, *self.vectors(0, 1, 1))
        query = self.linear(f"{at}attention.self.query", asking)
        key = self.linear(f"{at}attention.self.key", state)
        value = self.linear(f"{at}attention.self.value", state)
        mixed = (
            self._fused(query, key, value)
            if self.form.contributed
            else self._attention(query, key, value)
        )
        mixed = self.linear(f"{at}attention.output.dense", mixed)
        asking = self.norm(f"{at}attention.output.LayerNorm", self.add("Add", mixed, asking))
        wide = self._activation(self.linear(f"{at}intermediate.dense", asking))
        narrow = self.linear(f"{at}output.dense", wide)
        return self.norm(f"{at}output.LayerNorm", self.add("Add", narrow, asking))

    def _fused(self, query: str, key: str, value: str) -> str:
        kept = []
        if self.form.masked:
            kind = module("onnx").TensorProto.INT32
            kept = ["", self.add("Cast", "attention_mask", given={"to": kind})]
        return self.add(
            "MultiHeadAttention",
            query,
            key,
            value,
            *kept,
            given={"domain": CONTRIBUTED, "num_heads": self.spec.heads},
        )

    def _attention(self, query: str, key: str, value: str) -> str:
        width = self.spec.hidden // self.spec.heads
        shape = self.ints(0, 0, self.spec.heads, width)

        def heads(state: str, order: Sequence[int]) -> str:
            return self.add("Transpose", self.add("Reshape", state, shape), given={"perm": order})

        scores = self.add("MatMul", heads(query, (0, 2, 1, 3)), heads(key, (0, 2, 3, 1)))
        scores = self.add("Div", scores, self.number(width**0.5))
        weights = self.add("Softmax", self.add("Add", scores, self._mask()), given={"axis": -1})
        mixed = self.add("MatMul", weights, heads(value, (0, 2, 1, 3)))
        mixed = self.add("Transpose", mixed, given={"perm": (0, 2, 1, 3)})
        return self.add("Reshape", mixed, self.ints(0, 0, self.spec.hidden))

    def _mask(self) -> str:
        kept = self.add("Cast", "attention_mask", given={"to": module("onnx").TensorProto.FLOAT})
        kept = self.add("Unsqueeze", kept, self.constant(np.array([1, 2])))
        lowered = self.add("Sub", self.number(1.0), kept)
        return self.add("Mul", lowered, self.number(-10_000.0))

    def _activation(self, state: str) -> str:
        if self.spec.hidden_activation == "relu":
            return self.add("Relu", state)
        if self.spec.hidden_activation != "gelu":
            raise InvalidInput(
                f"hidden_act '{self.spec.hidden_activation}' has no graph here; expected gelu or "
                "relu; leave the engines out that read ONNX"
            )
        # in the form that optimisers know
        inner = self.add("Erf", self.add("Div", state, self.number(2**0.5)))
        grown = self.add("Mul", state, self.add("Add", inner, self.number(1.0)))
        return self.add("Mul", grown, self.number(0.5))
