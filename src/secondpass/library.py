"""The index that the package's root exports: it finds encoders by name, and has one by itself."""

from __future__ import annotations

import os

from secondpass.protocols import Encoder
from secondpass.retrieval.encoding import LoadEncoder
from secondpass.retrieval.index import Index as Collection
from secondpass.retrieval.stores.table import open_store

DEFAULT_ENCODER = "static"
NO_ENCODER = "none"


class Index(Collection):
    """Passages in a store, added a document at a time, found by words and by vectors.

    Closing it closes the store.
    """

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        encoder: Encoder | str | None = None,
        load_encoder: LoadEncoder | None = None,
        store: str = "sqlite",
    ) -> Index:
        """The index at `path`, made where there is none unless `create` is False.

        `encoder` makes the vectors: an encoder, or a name that `load_encoder` understands, by itself
        that of `secondpass.engine`. By itself a new index takes the bundled 'static', and one that
        has passages keeps to what it has recorded; 'none' keeps a new index without vectors. `store`
        names what holds it. StoreError where the path is something else, or lies where an index
        cannot work, where another encoder made its vectors, and where its passages have none.
        """
        opened = open_store(store, path, create=create)
        try:
            given = _lasting(encoder) if isinstance(encoder, str) else encoder
            default = DEFAULT_ENCODER if encoder is None else None
            index = cls(opened, given, load_encoder or _load_encoder, default)
            if given is not None:
                index._encoder.for_adding()
        except BaseException:
            opened.close()
            raise
        return index


def _lasting(name: str) -> str | None:
    from secondpass.engine.encoders import lasting_encoder_name

    return None if name == NO_ENCODER else lasting_encoder_name(name)


def _load_encoder(name: str) -> Encoder:
    from secondpass.engine.encoders import load_encoder

    return load_encoder(name)
