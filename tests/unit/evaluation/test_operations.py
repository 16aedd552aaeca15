"""The closed form of the operations is what a count product by product gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.engine.spec import ModelSpec
from secondpass.evaluation.operations import Operations, count_operations


def spec(hidden: int, layers: int, intermediate: int, join_layer: int = 0) -> ModelSpec:
    return ModelSpec(
        family="bert", hidden=hidden, layers=layers, heads=2, intermediate=intermediate,
        vocabulary=10, positions=64, padding_id=None, token_types=2, hidden_activation="gelu",
        eps=1e-12, max_tokens=64, activation="sigmoid", window_tokens=64,
        join_layer=join_layer,
    )  # fmt: skip


def product(rows: int, inner: int, columns: int) -> int:
    """Operations of a[rows, inner] @ b[inner, columns]."""
    return 2 * rows * inner * columns


def counted_layer(model: ModelSpec, length: int, asking: int) -> tuple[int, int]:
    """Of one layer over one sequence, of which so many tokens ask: linear, attention."""
    wide, inner, width = model.hidden, model.intermediate, model.hidden // model.heads
    linear = product(asking, wide, wide) + 2 * product(length, wide, wide)  # q, k, v
    linear += product(asking, wide, wide)
    linear += product(asking, wide, inner) + product(asking, inner, wide)
    attention = product(asking, width, length) + product(asking, length, width)
    return linear, model.heads * attention


def counted(model: ModelSpec, lengths: list[int]) -> tuple[int, int, int]:
    """Row by row, layer by layer, product by product."""
    parts = [
        counted_layer(model, length, 1 if layer == model.layers - 1 else length)
        for length in lengths
        for layer in range(model.join_layer, model.layers)
    ]
    head = len(lengths) * (product(1, model.hidden, model.hidden) + product(1, model.hidden, 1))
    return sum(linear for linear, _ in parts), sum(attention for _, attention in parts), head


@given(
    st.sampled_from([(4, 1, 8), (8, 3, 12), (6, 2, 5)]),
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_the_closed_form_is_the_count(sizes, lengths):
    model = spec(*sizes)
    found = count_operations(model, lengths)

    assert (found.linear, found.attention, found.head) == counted(model, lengths)


@given(st.integers(1, 5), st.lists(st.integers(6, 40), min_size=1, max_size=8), st.integers(1, 2))
def test_a_late_join_counts_the_sides_apart_and_the_query_once(query, lengths, join_layer):
    model = spec(8, 3, 12, join_layer)
    linear, attention, head = counted(model, lengths)
    for side in [query, *(length - query for length in lengths)]:
        for _ in range(model.layers):  # below the join, and above it for the mean
            more = counted_layer(model, side, side)
            linear, attention = linear + more[0], attention + more[1]
    head += len(lengths) * product(1, model.hidden, 1)  # the cosine

    found = count_operations(model, lengths, query)

    assert (found.linear, found.attention, found.head) == (linear, attention, head)


def test_the_bound_is_the_time_at_the_peaks():
    operations = Operations(linear=8_000_000, attention=3_000_000, head=1_000_000)

    def bound(precision: str) -> float:
        return operations.bound_ms(int8_gops=4, fp32_gflops=1, precision=precision)

    assert bound("int8") == pytest.approx(2 + 4)
    assert bound("fp32") == pytest.approx(8 + 4)


def test_the_probes_find_a_rate():
    native = pytest.importorskip("secondpass._native", reason="built without a C++ compiler")
    found = native.peaks(1)

    assert found.keys() == {"int8_gops", "fp32_gflops"}
    assert min(found.values()) > 0
    with pytest.raises(ValueError, match="threads=0"):
        native.peaks(0)
