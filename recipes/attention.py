"""Attention over packed rows: every token sees its own row.

Two ways of the same result: a flash kernel for rows of different lengths, where the machine has
it, and padded groups of rows of nearly one length. `kernels.py` checks the first against the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GROUP_SPREAD = 1.25  # rows of a group are at most so much longer than its shortest
GROUP_TOKENS = 1 << 19  # padded tokens in a group: bounds memory where rows are many


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rows padded to one length: `gather` int64[rows, length] into the packed tokens.

    `valid` bool[rows, length] marks what is no padding; `tokens` int64[valid] are those places.
    """

    gather: Tensor
    valid: Tensor
    tokens: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the rows of a pack lie: starts int32[rows + 1], the longest row, groups for padding."""

    starts: Tensor
    longest: int
    bounds: np.ndarray
    _groups: list[Group]

    @classmethod
    def of(cls, starts: np.ndarray, device: torch.device) -> Layout:
        """Of the rows' starts[rows + 1]; groups are made when first asked for."""
        tensor = torch.from_numpy(starts.astype(np.int32)).to(device, non_blocking=True)
        return cls(tensor, int(np.diff(starts).max()), starts, [])

    def groups(self) -> list[Group]:
        """The rows by length, in padded groups."""
        if not self._groups:
            self._groups.extend(_group(self.bounds, self.starts.device))
        return self._groups


Attend = Callable[[Tensor, Tensor, Tensor, Layout], Tensor]


def _group(starts: np.ndarray, device: torch.device) -> list[Group]:
    lengths = np.diff(starts)
    order = np.argsort(lengths, kind="stable")
    groups: list[Group] = []
    at = 0
    while at < len(order):
        limit = max(lengths[order[at]] * GROUP_SPREAD, lengths[order[at]] + 8)
        end = at + int(np.searchsorted(lengths[order[at:]], limit, side="right"))
        end = min(end, at + max(1, int(GROUP_TOKENS // limit)))
        rows = order[at:end]
        wide = np.arange(lengths[rows].max())
        valid = wide[None, :] < lengths[rows][:, None]
        gather = np.where(valid, starts[rows][:, None] + wide, starts[rows][:, None])
        parts = (gather, valid, gather[valid])
        groups.append(Group(*(torch.from_numpy(part).to(device) for part in parts)))
        at = end
    return groups


def attend_padded(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """[tokens, heads, width] of three of that shape, through padded groups. Works anywhere."""
    parts: list[Tensor] = []
    for group in layout.groups():
        full = bool(group.valid.shape[1] * group.valid.shape[0] == len(group.tokens))
        mask = None if full else group.valid[:, None, None, :]
        sides = (side[group.gather].transpose(1, 2) for side in (q, k, v))
        mixed = functional.scaled_dot_product_attention(*sides, attn_mask=mask).transpose(1, 2)
        parts.append(mixed[group.valid])
    places = torch.cat([group.tokens for group in layout.groups()])
    return torch.empty_like(q).index_copy(0, places, torch.cat(parts))


def attend_products(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """The same by plain products: in bfloat16 on a CPU, PyTorch's own backward pass is far slower.

    All groups are gathered at once, for the gradient of each gather is as large as the pack.
    """
    groups = layout.groups()
    places = torch.cat([group.gather.flatten() for group in groups])
    sizes = [group.gather.numel() for group in groups]
    sides = [side.index_select(0, places).split(sizes) for side in (q, k, v)]
    parts: list[Tensor] = []
    for group, *three in zip(groups, *sides, strict=True):
        shape = (*group.gather.shape, *q.shape[1:])
        queries, keys, values = (each.view(shape).transpose(1, 2).contiguous() for each in three)
        scores = (queries * q.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
        if len(group.tokens) < group.valid.numel():
            scores = scores.masked_fill(~group.valid[:, None, None, :], -1e4)
        mixed = torch.softmax(scores, -1) @ values
        parts.append(mixed.transpose(1, 2).flatten(0, 1))
    kept = torch.cat([group.valid.flatten() for group in groups]).nonzero()[:, 0]
    back = torch.empty_like(kept)
    back[places[kept]] = kept
    return torch.cat(parts).index_select(0, back)


def attend_flash(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """The same through PyTorch's flash kernel for packed rows: half precision on a GPU only."""
    starts, longest = layout.starts, layout.longest
    return torch.ops.aten._flash_attention_forward(
        q, k, v, starts, starts, longest, longest, 0.0, False, False
    )[0]


def attend_varlen(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """The same through the public name that newer versions give that kernel."""
    from torch.nn.attention.varlen import varlen_attn

    starts, longest = layout.starts, layout.longest
    mixed = varlen_attn(q, k, v, starts, starts, longest, longest)
    assert isinstance(mixed, Tensor)
    return mixed
