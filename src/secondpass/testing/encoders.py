"""What everything that makes vectors of texts must do."""

from __future__ import annotations

from functools import partial

from secondpass.errors import InvalidInput
from secondpass.protocols import Encoder
from secondpass.testing.expect import expect, expect_equal, expect_error
from secondpass.testing.texts import TEXTS


def check_encoder(encoder: Encoder) -> None:
    """A vector a text, of that text alone, for odd texts too, and a name of what made it."""
    for encode in (encoder.encode_queries, encoder.encode_passages):
        found = encode(TEXTS)
        shape = ("float32", (len(TEXTS), encoder.dimension))
        expect_equal((str(found.dtype), found.shape), shape, "type and shape")
        expect(bool((abs(found) < 1e6).all()), f"vectors: {found}")
        expect_equal(encode(TEXTS[::-1]).tolist()[::-1], found.tolist(), "in another order")
        expect_equal(encode(iter(TEXTS[2:3])).tolist(), found[2:3].tolist(), "a text alone")
        expect_equal(encode([]).shape, (0, encoder.dimension), "no texts")
        for wrong in ("one text", [None]):
            call = partial(encode, wrong)  # type: ignore[arg-type]
            expect_error(InvalidInput, call, f"encoding {wrong!r}")
    expect(bool(encoder.fingerprint), "the fingerprint is empty")
