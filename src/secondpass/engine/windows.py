"""Where does a text that is longer than the model's reach get cut? Into overlapping windows."""

from __future__ import annotations


def plan_windows(tokens: int, *, room: int, overlap: int) -> list[tuple[int, int]]:
    """Token spans that cover a text of `tokens` tokens, each of at most `room`.

    Neighbours share at least `overlap` tokens. All windows are full: the last one ends with the
    text and shares more with the one before it, since a short tail would be scored without the
    context that the others have.
    """
    if tokens <= room:
        return [(0, tokens)]
    starts = [*range(0, tokens - room, max(1, room - overlap)), tokens - room]
    return [(start, start + room) for start in starts]
