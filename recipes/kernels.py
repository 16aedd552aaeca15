"""Which kernels does this machine have? Each is tried and compared before it is trusted."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recipes.attention import Attend, Layout, attend_flash, attend_padded, attend_varlen
from recipes.bert import Kernels, Layer, Rows, Shape, finish_layer

Say = Callable[[dict[str, object]], None]
TOLERANCE = 0.03  # of the largest value: bfloat16 keeps 8 bits


def choose_kernels(device: torch.device, shape: Shape, say: Say, *, compiled: bool) -> Kernels:
    """The fastest kernels that agree with the plain ones; what failed is said, never silent."""
    if device.type != "cuda":
        return Kernels()
    dtype = torch.bfloat16
    plain = Kernels(attend_padded, finish_layer, dtype)
    attend = _choose_attention(device, shape, plain, say)
    kernels = Kernels(attend, finish_layer, dtype)
    if not compiled:
        return kernels
    began = time.perf_counter()
    faster = Kernels(attend, torch.compile(finish_layer, dynamic=True), dtype)
    if _agrees(device, shape, (faster, plain), "compile", say):
        say({"event": "kernel", "finish": "compiled", "seconds": time.perf_counter() - began})
        return faster
    return kernels


def _choose_attention(device: torch.device, shape: Shape, plain: Kernels, say: Say) -> Attend:
    candidates: list[tuple[str, Attend]] = [("flash", attend_flash), ("varlen", attend_varlen)]
    for name, attend in candidates:
        tried = Kernels(attend, finish_layer, plain.dtype)
        if _agrees(device, shape, (tried, plain), name, say):
            say({"event": "kernel", "attention": name})
            return attend
    say({"event": "kernel", "attention": "padded"})
    return attend_padded


def _agrees(
    device: torch.device, shape: Shape, pair: tuple[Kernels, Kernels], name: str, say: Say
) -> bool:
    """Whether the first kernels give a layer the values and gradients of the second, but for rounding."""
    try:
        ours, expected = (_probe(device, shape, each) for each in pair)
    # What a kernel raises that this machine lacks is not to be foreseen; it is said in the log.
    except Exception as error:  # noqa: BLE001
        say({"event": "kernel", "failed": name, "why": f"{type(error).__name__}: {error}"[:400]})
        return False
    worst = max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, expected, strict=True)
    )
    if not worst <= TOLERANCE:
        say({"event": "kernel", "failed": name, "why": f"differs by {worst:.3f} of the largest"})
    return worst <= TOLERANCE


def _probe(device: torch.device, shape: Shape, kernels: Kernels) -> list[Tensor]:
    torch.manual_seed(11)
    layer = Layer(shape).to(device)
    starts = np.cumsum([0, 3, 70, 129, 31, 512, 7, 200])
    x = torch.randn(int(starts[-1]), shape.hidden, device=device, requires_grad=True)
    y = layer(x.to(kernels.dtype), Layout.of(starts, device), kernels).float()
    weight = torch.randn_like(y)
    (y * weight).sum().backward()
    gradient, of_qkv = x.grad, layer.qkv.weight.grad
    assert gradient is not None
    assert of_qkv is not None
    return [y.detach(), gradient, of_qkv]


def trial_rows(device: torch.device, shape: Shape, count: int, length: int) -> Rows:
    """Random rows of one length, for measuring."""
    rng = np.random.default_rng(0)
    ids = rng.integers(3, shape.vocabulary, count * length)
    return Rows.of(ids, np.arange(count + 1) * length, device)
