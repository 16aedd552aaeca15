"""A guest for programs of sentence-transformers: its CrossEncoder of version 6, to score and to rank.

Needs no sentence-transformers; torch only where tensors are asked for or an activation is given.
Texts longer than the model reads are scored in windows and not cut.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.engine import cross_encoder as engine
from secondpass.engine.compute import Compute
from secondpass.engine.locate import locate
from secondpass.engine.scoring import descending, sigmoid
from secondpass.errors import InvalidInput
from secondpass.integrations.loading import check_devices, host, load
from secondpass.integrations.renaming import takes_old_names

logger = logging.getLogger(__name__)

EXTRA = "sentence-transformers"
# the host's names of what computes -> ours
BACKENDS = {"torch": "auto", "auto": "auto", "native": "native", "numpy": "numpy"}
PRECISIONS = {"auto": "auto", "float32": "fp32", "fp32": "fp32", "int8": "int8"}
AT_ONCE = 256  # pairs between two steps of the progress bar

INIT = {
    "model_name": "model_name_or_path",
    "automodel_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "tokenizer_kwargs": "processor_kwargs",
    "config_args": "config_kwargs",
    "cache_dir": "cache_folder",
    "default_activation_function": "activation_fn",
    "classifier_dropout": None,  # a matter of training alone
}
CALL = {"sentences": "inputs", "activation_fct": "activation_fn", "num_workers": None}
RANK = {**CALL, "convert_to_numpy": None, "convert_to_tensor": None, "apply_softmax": None}
# What the host's class has and this one has not, with what to do.
ABSENT = {
    **dict.fromkeys(
        ("fit", "old_fit", "save", "save_pretrained", "save_to_hub", "push_to_hub"),
        "it trains and saves no model: use sentence-transformers for that, and load the folder here",
    ),
    **dict.fromkeys(
        ("model", "tokenizer", "processor", "transformers_model", "config"),
        "it runs without transformers: `engine` is the secondpass.CrossEncoder below, `engine.spec` "
        "its facts",
    ),
    **dict.fromkeys(
        ("half", "bfloat16", "cuda", "compile"),
        "it computes on the CPU in int8 or float32: leave the call out",
    ),
    **dict.fromkeys(
        ("start_multi_process_pool", "stop_multi_process_pool"),
        "one process uses all cores: leave the pool out",
    ),
}

Activation = Callable[[Any], Any]


class Metrics:
    """What evaluators of sentence-transformers tell a model about itself, the last of each name."""

    def __init__(self) -> None:
        self.evaluations: dict[str, float | str] = {}

    def set_evaluation_metrics(
        self, evaluator: object, metrics: Mapping[str, float | str], epoch: int = 0, step: int = 0
    ) -> None:
        """Keep these metrics."""
        self.evaluations.update(metrics)


class CrossEncoder:
    """The shape of sentence-transformers' class of this name, over secondpass's engine.

    `engine` is the secondpass.CrossEncoder below. `batch_size` and `chunk_size` change no score and
    have no effect. Raises what `CrossEncoder.load` raises, and InvalidInput for an argument that asks
    for what this engine cannot do.
    """

    @takes_old_names(INIT, positions=("num_labels", "max_length", "activation_fn", "device"))
    def __init__(
        self,
        model_name_or_path: str | Path | engine.CrossEncoder | None = None,
        *,
        modules: object = None,
        device: object = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "torch",
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        keep_in_fp32_modules: Sequence[str] | None = None,
    ) -> None:
        check_devices(device)
        _refuse(modules, "modules", "a model made of torch modules is none that it reads")
        _refuse(keep_in_fp32_modules, "keep_in_fp32_modules", "model_kwargs={'dtype': 'float32'}")
        if trust_remote_code:
            logger.warning("trust_remote_code has no effect: no code of a checkpoint is ever run")
        labels = _only(config_kwargs, "config_kwargs", ("num_labels",)).get("num_labels")
        if {num_labels, labels} - {None, 1}:
            raise InvalidInput(
                f"num_labels={num_labels or labels}; expected 1 or None: a model that ranks has one"
            )
        lengths = _only(processor_kwargs, "processor_kwargs", ("model_max_length", "max_length"))
        if max_length is None:
            max_length = next(iter(lengths.values()), None)
        if backend not in BACKENDS:
            raise InvalidInput(
                f"the backend '{backend}' is not here; expected one of {', '.join(BACKENDS)}, of "
                "which 'torch', the default, means the fastest that is here"
            )
        model = model_name_or_path
        if isinstance(model, str | Path):
            folder = locate(
                model,
                revision=revision,
                offline=local_files_only,
                cache=None if cache_folder is None else Path(cache_folder),
                token=token,
            )
            model = engine.CrossEncoder.load(
                folder, backend=BACKENDS[backend], compute=Compute(_precision(model_kwargs))
            )
        if model is None:
            raise InvalidInput("model_name_or_path is None; expected a folder or a name")
        self.engine = load(model, max_tokens=max_length)
        self.activation_fn = activation_fn or default_activation(self.engine)
        self.prompts = dict(prompts or {})
        self.default_prompt_name = default_prompt_name
        self.model_card_data = Metrics() if model_card_data is None else model_card_data
        self.num_labels = 1
        self.backend = backend
        self.trust_remote_code = trust_remote_code

    def __getattr__(self, name: str) -> Any:
        why = f": {ABSENT[name]}" if name in ABSENT else ""
        raise AttributeError(f"secondpass's CrossEncoder has no attribute '{name}'{why}")

    @property
    def max_seq_length(self) -> int:
        """The longest row of query and text that goes through the model at once, in tokens."""
        return self.engine.limits.max_tokens or self.engine.spec.max_tokens

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        self.engine = load(self.engine, max_tokens=value)

    @property
    def max_length(self) -> int:
        """The old name of `max_seq_length`."""
        _old("max_length", "max_seq_length")
        return self.max_seq_length

    @max_length.setter
    def max_length(self, value: int | None) -> None:
        _old("max_length", "max_seq_length")
        self.engine = load(self.engine, max_tokens=value)

    @property
    def device(self) -> Any:
        """The torch.device 'cpu'."""
        return _torch().device("cpu")

    def to(self, device: object) -> CrossEncoder:
        """The model itself; raises InvalidInput for a device that is not the CPU."""
        check_devices(device)
        return self

    def eval(self) -> CrossEncoder:
        """The model itself, which never trains."""
        return self

    @takes_old_names(CALL)
    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: object = None,
        pool: object = None,
        chunk_size: int | None = None,
        processing_kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The scores of (query, text) pairs in their order: float32[pairs]; of one pair, one score.

        They are an array, with `convert_to_tensor` a tensor, with neither a list of tensors. A score
        is the activation of the logit: `activation_fn`, or what the checkpoint names. With one label
        there is nothing that `apply_softmax` could change, as in the host. Raises InvalidInput for
        what is no pair of texts, and for a query that leaves no room for a text.
        """
        self._check_call(batch_size, device, pool)
        single, pairs = _pairs(inputs)
        model = load(self.engine, max_tokens=_max_length(processing_kwargs))
        prompt = self._prompt(prompt, prompt_name)
        logits = _score(model, _prompted(pairs, prompt), _shows(show_progress_bar))
        scores = activated(logits, activation_fn or self.activation_fn)
        if convert_to_tensor:
            shaped = _torch().from_numpy(scores)
        elif convert_to_numpy:
            shaped = scores
        else:
            shaped = list(_torch().from_numpy(scores))
        return shaped[0] if single else shaped

    @takes_old_names(RANK)
    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        device: object = None,
        pool: object = None,
        chunk_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """The best `top_k` documents (all where None), best first, ties in the given order.

        Each is {"corpus_id": its number, "score": float}, with "text" if `return_documents`.
        """
        self._check_call(batch_size, device, pool)
        given = list(documents)
        pairs = _prompted([(query, text) for text in given], self._prompt(prompt, prompt_name))
        logits = _score(self.engine, pairs, _shows(show_progress_bar))
        activation = activation_fn or self.activation_fn
        scores = activated(logits, activation)
        # a sigmoid of float32 is 1 for many logits: those still tell which is better
        order = descending(logits if activation in (Sigmoid, Identity) else scores)
        lines = [{"corpus_id": int(at), "score": float(scores[at])} for at in order[:top_k]]
        if not return_documents:
            return lines
        return [{**line, "text": given[line["corpus_id"]]} for line in lines]

    def _check_call(self, batch_size: int, device: object, pool: object) -> None:
        if batch_size <= 0:
            raise InvalidInput(f"batch_size={batch_size}; expected a whole number from 1")
        check_devices(device)
        _refuse(pool, "pool", "one process uses all cores")

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        if prompt is not None:
            if name is not None:
                logger.warning("both prompt and prompt_name are given; prompt counts")
            return prompt
        if name is not None and name not in self.prompts:
            raise InvalidInput(
                f"the prompt '{name}' is not known; expected one of {list(self.prompts)}"
            )
        return self.prompts.get(name or self.default_prompt_name or "", "")


def Sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: N802  # torch's name
    """The sigmoid of logits, as torch.nn.Sigmoid gives it, without torch."""
    return sigmoid(logits).astype(np.float32)


def Identity(logits: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: N802  # torch's name
    """The logits themselves, as torch.nn.Identity gives them, without torch."""
    return logits


def default_activation(model: engine.CrossEncoder) -> Activation:
    """The activation that the checkpoint names."""
    return Identity if model.spec.activation == "identity" else Sigmoid


def activated(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """The activation of each logit; one of torch is handed a tensor[pairs, 1], as in the host."""
    if activation in (Sigmoid, Identity):
        return np.asarray(activation(logits), dtype=np.float32)
    torch = _torch()
    with torch.inference_mode():
        scores = activation(torch.from_numpy(logits).unsqueeze(-1))
        found = np.asarray(scores.detach().float().cpu().numpy(), dtype=np.float32).reshape(-1)
    if found.shape != logits.shape:
        raise InvalidInput(
            f"activation_fn made {len(found)} scores of {len(logits)} logits; expected one of each"
        )
    return found


def _torch() -> Any:
    with host("sentence-transformers' tensors and activations", EXTRA):
        import torch

        return torch


def _old(name: str, new: str) -> None:
    message = f"the attribute '{name}' is deprecated; its name is '{new}' now"
    warnings.warn(message, DeprecationWarning, stacklevel=3)


def _refuse(value: object, name: str, instead: str) -> None:
    if value is not None and value != []:
        raise InvalidInput(
            f"{name} is given, which secondpass's CrossEncoder cannot do; leave it out: {instead}"
        )


def _only(given: Mapping[str, Any] | None, name: str, known: Sequence[str]) -> dict[str, Any]:
    """What is given under a dictionary's argument, once no key of it would be lost."""
    if unknown := sorted(set(given or {}) - set(known)):
        raise InvalidInput(
            f"{name} has {', '.join(unknown)}, which this engine does not know; expected "
            f"{' or '.join(known)}: leave out what is for transformers alone"
        )
    return dict(given or {})


def _precision(model_kwargs: Mapping[str, Any] | None) -> str:
    given = _only(model_kwargs, "model_kwargs", ("torch_dtype", "dtype"))
    asked = str(next(iter(given.values()), "auto")).removeprefix("torch.")
    if asked not in PRECISIONS:
        raise InvalidInput(f"dtype={asked}; expected one of {', '.join(PRECISIONS)}")
    return PRECISIONS[asked]


def _max_length(processing_kwargs: Mapping[str, Any] | None) -> int | None:
    text = _only(processing_kwargs, "processing_kwargs", ("text",)).get("text")
    found = _only(text, "processing_kwargs['text']", ("max_length", "truncation"))
    length: int | None = found.get("max_length")
    return length


def _pairs(inputs: Any) -> tuple[bool, list[tuple[str, str]]]:
    """Whether one pair was given alone, and the pairs."""
    if isinstance(inputs, str | Mapping):
        raise InvalidInput(f"{inputs!r:.80} is no pair; expected (query, text) or a list of them")
    given = inputs.tolist() if isinstance(inputs, np.ndarray) else list(inputs)
    single = bool(given) and isinstance(given[0], str)
    pairs = [given] if single else [_plain(pair) for pair in given]
    for at, pair in enumerate(pairs):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InvalidInput(f"pair {at} is {pair!r:.80}; expected (query, text)")
    return single, [(pair[0], pair[1]) for pair in pairs]


def _plain(pair: Any) -> Any:
    return pair.tolist() if isinstance(pair, np.ndarray) else pair


def _prompted(pairs: Sequence[tuple[str, str]], prompt: str) -> list[tuple[str, str]]:
    """The pairs with the prompt before each query, as in the host."""
    return [(prompt + query, text) for query, text in pairs] if prompt else list(pairs)


def _shows(progress: bool | None) -> bool:
    return logger.getEffectiveLevel() <= logging.INFO if progress is None else progress


def _score(
    model: engine.CrossEncoder, pairs: Sequence[tuple[str, str]], progress: bool
) -> NDArray[np.float32]:
    if not progress or not pairs:
        return model.score(pairs)
    from rich.console import Console
    from rich.progress import track

    starts = range(0, len(pairs), AT_ONCE)
    steps = track(starts, description="scoring", console=Console(stderr=True))
    return np.concatenate([model.score(pairs[at : at + AT_ONCE]) for at in steps])
