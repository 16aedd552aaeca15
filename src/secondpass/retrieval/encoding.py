"""The encoder of an index: recorded once, found again by its name, told apart by its fingerprint."""

from __future__ import annotations

import threading
from collections.abc import Callable

from secondpass.errors import InvalidInput
from secondpass.protocols import DenseSearch, Encoder
from secondpass.retrieval.documents import check_same_encoder
from secondpass.types import EncoderRecord

# Finds an encoder by the name that an index has recorded.
LoadEncoder = Callable[[str], Encoder]


class IndexEncoder:
    """The encoder of one index: given with its name, or loaded by the recorded one when needed.

    What it loaded itself it closes itself. Many threads may ask.
    """

    def __init__(
        self, store: DenseSearch, encoder: Encoder | str | None, load: LoadEncoder | None
    ) -> None:
        self._store = store
        self._load = load
        self._lock = threading.Lock()
        self._own: Encoder | None = None
        self._given, self._name = self._resolved(encoder)

    def record(self) -> EncoderRecord | None:
        """What the index says of its encoder; None where it has no vectors."""
        return self._store.encoder()

    def for_adding(self) -> Encoder | None:
        """What encodes new passages; None where the index has no vectors.

        A given encoder is recorded first. StoreError where the index has passages without vectors,
        or another encoder made them.
        """
        if self._given is not None:
            given = _record(self._given, self._name)
            known = self.record()
            # A nameless encoder leaves the name by which it is found again.
            if known is None or (self._name and known != given):
                self._store.record_encoder(given)
            else:
                check_same_encoder(known, given)
            return self._given
        return self._recorded()

    def for_searching(self) -> Encoder | None:
        """What encodes queries; None where the index has no vectors. StoreError for another's."""
        known = self.record()
        if known is None:
            return None
        if self._given is not None:
            check_same_encoder(known, _record(self._given, self._name))
            return self._given
        return self._recorded()

    def close(self) -> None:
        """Release what was loaded here."""
        with self._lock:
            own, self._own = self._own, None
        close = getattr(own, "close", None)
        if close is not None:
            close()

    def _resolved(self, encoder: Encoder | str | None) -> tuple[Encoder | None, str]:
        if isinstance(encoder, str):
            if self._load is None:
                raise InvalidInput(
                    f"encoder='{encoder}' is a name and nothing finds encoders by name; expected an "
                    "encoder, or load_encoder beside the name; pass load_encoder=BiEncoder.load, say"
                )
            self._own = self._load(encoder)
            return self._own, encoder
        return encoder, str(getattr(encoder, "name", ""))

    def _recorded(self) -> Encoder | None:
        known = self.record()
        if known is None:
            return None
        with self._lock:
            if self._own is None:
                self._own = self._loaded(known)
            check_same_encoder(known, _record(self._own, known.name))
            return self._own

    def _loaded(self, known: EncoderRecord) -> Encoder:
        if self._load is None or not known.name:
            raise InvalidInput(
                f"the index needs its encoder '{known.name}' ({known.dimension} numbers, fingerprint "
                f"{known.fingerprint}) and was opened without; expected it; pass encoder=... to "
                "Index.open, or search with first_stage='lexical'"
            )
        return self._load(known.name)


def _record(encoder: Encoder, name: str) -> EncoderRecord:
    return EncoderRecord(name, encoder.fingerprint, encoder.dimension)
