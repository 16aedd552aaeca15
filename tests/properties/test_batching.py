"""What batches and windows promise, for any lengths."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.engine.batching import Row, pack, plan_batches
from secondpass.engine.scoring import descending
from secondpass.engine.windows import plan_windows
from secondpass.errors import InvalidInput

LENGTHS = st.lists(st.integers(1, 300), max_size=60)


@given(lengths=LENGTHS, max_tokens=st.integers(1, 1000), max_rows=st.integers(1, 20))
def test_every_row_is_in_one_batch_within_the_budget(lengths, max_tokens, max_rows):
    batches = plan_batches(lengths, max_tokens=max_tokens, max_rows=max_rows)

    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[row] for row in batch) <= max_tokens
        assert len(batch) <= max_rows


@given(lengths=LENGTHS, max_tokens=st.integers(1, 1000))
def test_rows_run_from_the_longest_to_the_shortest(lengths, max_tokens):
    order = [row for batch in plan_batches(lengths, max_tokens=max_tokens) for row in batch]

    assert order == sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))


@given(lengths=LENGTHS, max_tokens=st.integers(1, 1000))
def test_no_batch_could_have_taken_the_first_row_of_the_next(lengths, max_tokens):
    batches = plan_batches(lengths, max_tokens=max_tokens)

    for batch, following in pairwise(batches):
        assert sum(lengths[row] for row in batch) + lengths[following[0]] > max_tokens


@pytest.mark.parametrize(("max_tokens", "max_rows"), [(0, 1), (1, 0), (-5, 3)])
def test_a_budget_of_nothing_is_refused(max_tokens, max_rows):
    with pytest.raises(InvalidInput, match="no room"):
        plan_batches([1], max_tokens=max_tokens, max_rows=max_rows)


@given(lengths=LENGTHS)
def test_a_packed_batch_holds_its_rows_end_to_end(lengths):
    import numpy as np

    rows = [
        Row(np.full(n, at, np.int32), np.full(n, -at, np.int32)) for at, n in enumerate(lengths)
    ]

    batch = pack(rows)

    assert batch.lengths.tolist() == lengths
    assert batch.ids.tolist() == [at for at, n in enumerate(lengths) for _ in range(n)]
    assert batch.types.tolist() == [-at for at in batch.ids.tolist()]


@given(tokens=st.integers(0, 2000), room=st.integers(1, 300), overlap=st.integers(0, 400))
def test_windows_cover_the_text_and_share_what_was_asked(tokens, room, overlap):
    windows = plan_windows(tokens, room=room, overlap=min(overlap, room // 2))

    assert windows[0][0] == 0
    assert windows[-1][1] == tokens
    for start, end in windows:
        assert end - start == min(room, tokens)
    for (start, end), (following, _) in pairwise(windows):
        assert start < following <= end - min(overlap, room // 2)


@given(scores=st.lists(st.floats(-5, 5, width=16) | st.sampled_from([0.0, -0.0, 1.0])))
def test_the_order_is_total_and_ties_keep_the_input_order(scores):
    import numpy as np

    order = descending(np.array(scores, dtype=np.float32)).tolist()

    assert order == sorted(range(len(scores)), key=lambda at: (-scores[at], at))
