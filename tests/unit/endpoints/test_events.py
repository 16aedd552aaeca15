"""Server-sent events, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.endpoints.events import event_data


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"data:one\r\n\r\ndata:  two\r\rdata: three\n\n", ["one", " two", "three"]),
        (b": keep alive\n\nevent: x\nid: 7\nretry\ndata: one\ndata\ndata: two\n\n", ["one\n\ntwo"]),
        (b"\xef\xbb\xbfdata: one\n\n\n\n", ["one"]),
        (b"data: one\n\ndata: cut off\n", ["one"]),
        (b"data: one\n\ndata: cut o", ["one"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b"", []),
    ],
)
def test_events_as_the_standard_has_them(stream, data):
    assert list(event_data([stream])) == data
    assert list(event_data(stream[at : at + 1] for at in range(len(stream)))) == data


LINE = st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=8)


@given(
    events=st.lists(st.lists(LINE, min_size=1, max_size=3), max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_where_chunks_are_cut_does_not_matter(events, end, cuts):
    lines = [line for event in events for line in [*(f"data: {one}" for one in event), ""]]
    stream = "".join(line + end for line in lines).encode()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in pairwise(places)]

    assert list(event_data(chunks)) == ["\n".join(event) for event in events]
