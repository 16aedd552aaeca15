"""The upper layers of a late join, over states that were read before.

A pair is the query's tokens followed by the passage's. Each token learns by one of four added
vectors which side it stands on and whether its id occurs on the other side; the logit takes the
first token's state and the bi-encoder's cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recipes.attention import Layout
from recipes.bert import Kernels, Layer, Shape
from recipes.lists import Lists
from recipes.start import Tensors
from recipes.states import States

LayerNames = Callable[[nn.Module, int], list[tuple[str, Tensor]]]
COSINE_SCALE, COSINE_CENTRE = 30.0, 0.85  # e5's cosines lie in 0.7 to 1


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One step: states uint16[tokens, hidden] as bits of bfloat16, pair after pair.

    kinds int64[tokens] is 2 * side + seen; cosines float32[pairs]; lists int32[lists, places]
    names pairs, -1 for none, the right passage first; teacher and soft as in recipes.lists.Batch.
    """

    states: NDArray[np.uint16]
    kinds: NDArray[np.int64]
    starts: NDArray[np.int64]
    cosines: NDArray[np.float32]
    lists: NDArray[np.int32]
    teacher: NDArray[np.float32]
    soft: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Pairs to learn from; `teacher` holds the same pairs over another model's states."""

    pairs: Pairs
    teacher: Pairs | None = None

    @property
    def ids(self) -> NDArray[np.int64]:
        """What a stage counts its tokens by."""
        return self.pairs.kinds


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """The states of all texts: passages, queries, and misspelt queries (a row each, empty or not)."""

    passages: States
    queries: States
    noised: States


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A list before it is packed: a query's row, passages by number, the right one first."""

    query: int
    noised: bool
    passages: NDArray[np.int64]
    teacher: NDArray[np.float32]


def kinds_of(query: NDArray[np.uint16], passage: NDArray[np.uint16]) -> NDArray[np.int64]:
    """int64[tokens of both]: 2 * side + whether the token's id occurs on the other side."""
    return np.concatenate([np.isin(query, passage), 2 + np.isin(passage, query)]).astype(np.int64)


def packed(asked: list[Asked], read: Read) -> Pairs:
    """The lists as one step."""
    states, kinds, lengths, cosines = [], [], [0], []
    shape = (len(asked), max(len(each.passages) for each in asked))
    lists, teacher = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    for at, each in enumerate(asked):
        side = read.noised if each.noised else read.queries
        ids, own = side.rows[each.query], side.states[span(side, each.query)]
        mean = side.means[each.query].astype(np.float32)
        for place, number in enumerate(each.passages):
            passage = read.passages.rows[int(number)]
            lists[at, place] = len(cosines)
            states += [own, read.passages.states[span(read.passages, int(number))]]
            kinds.append(kinds_of(ids, passage))
            lengths.append(len(ids) + len(passage))
            cosines.append(float(mean @ read.passages.means[number].astype(np.float32)))
        teacher[at, : len(each.teacher)] = each.teacher
    return Pairs(
        states=np.concatenate(states),
        kinds=np.concatenate(kinds),
        starts=np.cumsum(lengths).astype(np.int64),
        cosines=np.array(cosines, np.float32),
        lists=lists,
        teacher=teacher,
        soft=np.ones(len(asked), np.float32),
    )


def span(side: States, row: int) -> slice:
    """The tokens of a row."""
    return slice(int(side.rows.starts[row]), int(side.rows.starts[row + 1]))


def cost(asked: Asked, read: Read) -> int:
    """How many tokens a list takes."""
    side = read.noised if asked.noised else read.queries
    passages = read.passages.rows.lengths()[asked.passages]
    return int(passages.sum() + len(passages) * side.rows.lengths()[asked.query])


def draw(lists: Lists, rng: np.random.Generator) -> Asked:
    """A list to learn from."""
    usable, sums = lists.drawn
    at = int(usable[np.searchsorted(sums, rng.random() * sums[-1], side="right")])
    others, teacher = lists.wrong(at, lists.recipe.most_places - 1, rng)
    noised = bool(rng.random() < lists.recipe.noised and len(lists.corpus.noised[at]))
    right = int(lists.corpus.positive[at])
    return Asked(at, noised, np.concatenate([[right], others]), teacher)


def drawn(lists: Lists, read: Read, step: int) -> list[Asked]:
    """The lists that step n learns from: a function of the seed and n."""
    rng = np.random.default_rng([lists.seed, step])
    chosen: list[Asked] = []
    used = 0
    while True:
        asked = draw(lists, rng)
        used += cost(asked, read)
        if chosen and used > lists.recipe.tokens:
            return chosen
        chosen.append(asked)


def step_of(lists: Lists, read: Read, step: int, teacher: Read | None = None) -> Step:
    """What step n learns from, and the same lists as a teacher reads them."""
    chosen = drawn(lists, read, step)
    return Step(packed(chosen, read), None if teacher is None else packed(chosen, teacher))


def steps(lists: Lists, read: Read, first: int, teacher: Read | None = None) -> Iterator[Step]:
    """The steps from `first` on; the next one is made while one is learned from."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(step_of, lists, read, first, teacher)
        while True:
            first += 1
            ready, waiting = waiting.result(), pool.submit(step_of, lists, read, first, teacher)
            yield ready


class Upper(nn.Module):
    """The layers from `join` on, and the head."""

    def __init__(self, shape: Shape, join: int) -> None:
        super().__init__()
        self.shape, self.join = shape, join
        self.layers = nn.ModuleList(Layer(shape) for _ in range(join, shape.layers))
        self.sides = nn.Parameter(torch.zeros(4, shape.hidden))
        self.dense, self.logit = nn.Linear(shape.hidden, shape.hidden), nn.Linear(shape.hidden, 1)
        self.cosine = nn.Parameter(torch.tensor(1.0))
        with torch.no_grad():  # the pooler starts as the identity, the head near nothing
            self.dense.weight.copy_(torch.eye(shape.hidden))
            self.dense.bias.zero_()
            self.logit.weight.normal_(0, 0.02)
            self.logit.bias.zero_()

    def forward(self, pairs: Pairs, kernels: Kernels) -> Tensor:
        """float32[pairs]."""
        device = self.sides.device
        layout = Layout.of(pairs.starts, device)
        x = torch.from_numpy(pairs.states).to(device).view(torch.bfloat16).to(kernels.dtype)
        x = x + self.sides.to(x.dtype)[torch.from_numpy(pairs.kinds).to(device)]
        for layer in self.layers[:-1]:
            x = layer(x, layout, kernels)
        last = self.layers[-1]
        assert isinstance(last, Layer)
        first = torch.tanh(self.dense(first_states(last, x, layout, kernels).float()))
        cosine = torch.from_numpy(pairs.cosines).to(device) - COSINE_CENTRE
        return self.logit(first)[:, 0] + COSINE_SCALE * self.cosine * cosine

    @torch.no_grad()
    def load_upper(self, state: dict[str, Tensor]) -> None:
        """Begin with a larger model's head, and with its joined layers from the first to the last."""
        ours, last = self.state_dict(), joined_layers(state) - 1
        layers = [round(at * last / max(1, len(self.layers) - 1)) for at in range(len(self.layers))]
        for key in ours:
            name, _, rest = key.partition(".")
            if name == "layers":
                number, _, rest = rest.partition(".")
                ours[key] = state[f"layers.{layers[int(number)]}.{rest}"]
            else:
                ours[key] = state[key]
        self.load_state_dict(ours)

    @torch.no_grad()
    def load_layers(self, tensors: Tensors, names: LayerNames) -> None:
        """Begin with these weights of a whole encoder."""
        for ours, number in zip(self.layers, range(self.join, self.shape.layers), strict=True):
            for key, parameter in names(ours, number):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(tensors[key])))


def joined_layers(state: dict[str, Tensor]) -> int:
    """How many layers above the join these weights of an `Upper` hold."""
    return 1 + max(int(key.split(".")[1]) for key in state if key.startswith("layers."))


def first_states(layer: Layer, x: Tensor, layout: Layout, kernels: Kernels) -> Tensor:
    """[rows, hidden]: the layer's result for the first token of each row, all that the head reads."""
    wide = x.shape[1]
    weight, bias = layer.qkv.weight.to(x.dtype), layer.qkv.bias.to(x.dtype)
    keys = functional.linear(x, weight[wide:], bias[wide:]).view(len(x), 2, layer.heads, -1)
    first = x[layout.starts[:-1].long()]
    queries = functional.linear(first, weight[:wide], bias[:wide])
    queries = queries.view(len(first), layer.heads, 1, -1)
    mixed, places = [], []
    groups = layout.groups()
    gathered = keys.index_select(0, torch.cat([group.gather.flatten() for group in groups]))
    for group, part in zip(groups, gathered.split([g.gather.numel() for g in groups]), strict=True):
        rows = torch.searchsorted(layout.starts, group.gather[:, 0].int())
        k, v = part.view(*group.gather.shape, *keys.shape[1:]).permute(2, 0, 3, 1, 4).contiguous()
        scores = (queries[rows] * queries.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        scores = scores.masked_fill(~group.valid[:, None, None, :], -1e4)
        mixed.append((torch.softmax(scores, -1) @ v).reshape(len(rows), wide))
        places.append(rows)
    whole = torch.empty_like(first).index_copy(0, torch.cat(places), torch.cat(mixed))
    parts = (layer.out, layer.norm, layer.up, layer.down, layer.last_norm)
    return kernels.finish(first, whole, *(p for part in parts for p in (part.weight, part.bias)))
