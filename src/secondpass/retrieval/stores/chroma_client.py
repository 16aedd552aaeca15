"""How is Chroma reached? By a folder of files, or by the address of a server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from secondpass.errors import InvalidInput, MissingExtra, StoreError

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.config import Settings


def is_address(place: str | os.PathLike[str]) -> bool:
    """Whether this names a server."""
    return str(place).startswith(("http://", "https://"))


def connect(place: str | os.PathLike[str], *, create: bool) -> ClientAPI:
    """A client of the server at this address, or of the files in this folder.

    StoreError where no server answers, and where there is no such folder and `create` is False.
    """
    try:
        import chromadb
    except ImportError as error:
        raise MissingExtra("store 'chroma'", "chroma") from error
    from chromadb.config import Settings as ChromaSettings

    quiet = ChromaSettings(anonymized_telemetry=False)
    failures = client_errors()
    if is_address(place):
        host, port, ssl = _server(str(place))
        try:
            return chromadb.HttpClient(host=host, port=port, ssl=ssl, settings=quiet)
        except failures as error:
            raise StoreError(
                f"no Chroma server answers at '{place}'; expected one; start it with `chroma run` "
                f"({error})"
            ) from error
    folder = Path(place)
    if not create and not (folder / "chroma.sqlite3").is_file():
        raise StoreError(
            f"there is no Chroma database in '{folder}'; expected the folder of one; correct the path"
        )
    if folder.exists() and not folder.is_dir():
        raise StoreError(
            f"'{folder}' is a file; expected the folder of a Chroma database, or a path that is "
            "free; choose another"
        )
    try:
        return _embedded(folder, quiet)
    except failures as error:
        raise StoreError(
            f"'{folder}' cannot be opened as a Chroma database; expected one, and the permission to "
            f"write; see Chroma's message ({error})"
        ) from error


def _embedded(folder: Path, settings: Settings) -> ClientAPI:
    import chromadb

    try:
        return chromadb.PersistentClient(str(folder), settings=settings)
    except ValueError as error:
        if "different settings" not in str(error):
            raise
        # The process has the folder open already, by a client of the user's.
        return chromadb.PersistentClient(str(folder))


def close(client: ClientAPI) -> None:
    """Let go of a client's files or connections."""
    known = cast(Any, client)  # every client has `close`, the interface does not say so
    known.close()
    # Chroma itself leaves the connections to a server open.
    for part in (known, getattr(known, "_admin_client", None)):
        session = getattr(getattr(part, "_server", None), "_session", None)
        if session is not None:
            session.close()


def client_errors() -> tuple[type[Exception], ...]:
    """What Chroma's client raises."""
    import sqlite3

    import httpx
    from chromadb.errors import ChromaError

    chroma: type[Exception] = ChromaError
    return chroma, httpx.HTTPError, ValueError, RuntimeError, sqlite3.Error, OSError


def _server(address: str) -> tuple[str, int, bool]:
    parts = urlsplit(address)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 8000)
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        raise InvalidInput(
            f"'{address}' is no address of a server; expected one such as 'http://localhost:8000'; "
            "correct it"
        )
    return parts.hostname, port, parts.scheme == "https"
