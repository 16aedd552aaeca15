"""Which passages of a large file are best for these words? tantivy's answer, a cache beside the file.

SQLite reads every posting of a query's terms; tantivy skips what cannot come among the best. Its
scores round a passage's length to a byte, so whoever asks scores what it finds anew.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.retrieval.stores import rows
from secondpass.retrieval.words import ANALYSER_VERSION

if TYPE_CHECKING:
    import tantivy

# Below this SQLite needs less than 20 ms for most queries.
LARGE = 50_000

# So many new passages take a search about two seconds to catch up with; more is left to `write`.
BEHIND = 20_000

# Passages that are gone stay until they are this share of all; until then they cost a little time.
MOST_GONE = 0.3

FORM = 1  # of the folder
_STATE = "secondpass.json"
_WRITER_BYTES = 128_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _State:
    """What the folder holds: the words of the file's passages up to number `through`."""

    file: int  # the file's identity
    through: int
    analyser: int = ANALYSER_VERSION
    form: int = FORM


class Postings:
    """The words of a file's passages in the folder `FILE.words`. Processes may share it.

    It is there once `write` has made it, which it does for files of `LARGE` passages, where tantivy
    is installed. Threads may share an object of it.
    """

    def __init__(self, file: Path) -> None:
        self.folder = file.with_name(f"{file.name}.words")
        self._installed = find_spec("tantivy") is not None
        self._begin_process()

    def _begin_process(self) -> None:
        # A lock may be held by a thread that a child process does not have.
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._state: _State | None = None
        self._index: tantivy.Index | None = None

    def bytes_on_disk(self) -> int:
        """The size of the folder; 0 where there is none."""
        if not self.folder.is_dir():
            return 0
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def best(
        self, connection: sqlite3.Connection, weights: Mapping[str, float], limit: int
    ) -> list[int] | None:
        """Numbers of `limit` passages, best first, by the terms' weights; some may be gone since.

        None where there is no such folder, or where it is far behind the file.
        """
        if not self._installed or not (self.folder / _STATE).exists():
            return None
        if self._process != os.getpid():
            self._begin_process()
        with self._lock:
            if not self._follow(connection, BEHIND) or self._index is None:
                return None
            index, searcher = self._index, self._index.searcher()
        query = _query(index, searcher, weights)
        hits = searcher.search(query, limit, count=False).hits
        found = searcher.fast_field_values("number", [address for _, address in hits])
        return [number for number in found if isinstance(number, int)]

    def suits(self, passages: int) -> bool:
        """Whether there is such a folder, or so few passages that none is needed."""
        return passages < LARGE or (self.folder / _STATE).exists()

    def wanted(self, passages: int) -> bool:
        """Whether there is such a folder, or should be one, for so many passages."""
        return self._installed and (passages >= LARGE or (self.folder / _STATE).exists())

    def write(self, connection: sqlite3.Connection) -> None:
        """Bring the folder up to the file, which must have an identity; make it where there is none.

        Does nothing where another process is writing it.
        """
        if self._process != os.getpid():
            self._begin_process()
        passages = rows.count(connection, "passages")
        with self._lock:
            self._look(connection)
            if self._index is not None:
                held = self._index.searcher().num_docs
                if held - passages > MOST_GONE * held and not self._make(connection):
                    return
            self._follow(connection, None)

    def _follow(self, connection: sqlite3.Connection, most: int | None) -> bool:
        """Is the folder as the file is? Adds what is missing, unless it is more than `most`."""
        last = rows.last_number(connection)
        if self._state is None or self._state.through < last:
            self._look(connection)  # another process may have brought it forward
        if self._index is None and (most is not None or not self._make(connection)):
            return False
        assert self._state is not None
        if self._state.through >= last:
            return True
        if most is not None and last - self._state.through > most:
            logger.info("'%s' is far behind: words are searched without; flush", self.folder)
            return False
        return self._append(connection, last)

    def _look(self, connection: sqlite3.Connection) -> None:
        """Open the folder, or what another process has written there since."""
        import tantivy

        state = self._read_state()
        ours = state is not None and state == _State(identity(connection), state.through)
        # Of a newer file than this one, which was put back: its numbers will be given again.
        if state is None or not ours or state.through > rows.last_number(connection):
            self._index = self._state = None
            return
        if state == self._state and self._index is not None:
            return
        try:
            if self._index is None:
                self._index = tantivy.Index.open(str(self.folder))
                self._index.config_reader("manual")  # or a thread would watch the folder
            self._index.reload()
        except (ValueError, OSError) as error:
            logger.warning(
                "'%s' cannot be read (%s): words are searched without", self.folder, error
            )
            self._index = self._state = None
            return
        self._state = state

    def _read_state(self) -> _State | None:
        try:
            return _State(**json.loads((self.folder / _STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _make(self, connection: sqlite3.Connection) -> bool:
        """An empty folder in the place of what is there; False where that cannot be."""
        import tantivy

        schema = tantivy.SchemaBuilder()
        schema.add_integer_field("number", fast=True)
        schema.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
        self._index = self._state = None
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._index = tantivy.Index(schema.build(), path=str(self.folder))
        except (ValueError, OSError) as error:  # a full disk, say: no answer depends on it
            logger.warning("'%s' cannot be made: %s", self.folder, error)
            return False
        self._index.config_reader("manual")
        self._state = _State(identity(connection), 0)
        return True

    def _append(self, connection: sqlite3.Connection, last: int) -> bool:
        """Add the passages up to number `last`; False where another process is writing."""
        assert self._index is not None
        assert self._state is not None
        try:
            writer = self._index.writer(_WRITER_BYTES, num_threads=1)
        except ValueError:  # its lock is held, or the folder may not be written
            return False
        try:
            self._write_to(writer, connection)
            self._index.reload()
            self._state = _State(self._state.file, last)
            part = self.folder / f"{_STATE}.part"
            part.write_text(json.dumps(asdict(self._state)), encoding="utf-8")
            part.replace(self.folder / _STATE)
        except (ValueError, OSError) as error:  # a full disk, say: no answer depends on it
            logger.warning("'%s' cannot be written: %s", self.folder, error)
            self._index = self._state = None
            return False
        return True

    def _write_to(self, writer: tantivy.IndexWriter, connection: sqlite3.Connection) -> None:
        import tantivy

        assert self._index is not None
        assert self._state is not None
        # What was committed before a crash is not in the state, but there.
        self._index.reload()
        newest = self._index.searcher().search(
            tantivy.Query.all_query(), 1, count=False, order_by_field="number"
        )
        after = max(self._state.through, *(int(number) for number, _ in newest.hits), 0)
        for number, words in rows.words_after(connection, after):
            writer.add_document(tantivy.Document(number=number, terms=words))
        writer.commit()
        writer.wait_merging_threads()


def identity(connection: sqlite3.Connection) -> int:
    """The number that tells this file from another at its place; 0 where it has none yet."""
    row = connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()
    return 0 if row is None else int(row[0])


def _query(
    index: tantivy.Index, searcher: tantivy.Searcher, weights: Mapping[str, float]
) -> tantivy.Query:
    """Any of the terms, each with our weight in the place of tantivy's own."""
    import tantivy

    passages = searcher.num_docs
    parts = []
    for term, weight in weights.items():
        containing = searcher.doc_freq("terms", term)
        if not containing:
            continue
        theirs = math.log1p((passages - containing + 0.5) / (containing + 0.5))
        found = tantivy.Query.term_query(index.schema, "terms", term, index_option="freq")
        parts.append((tantivy.Occur.Should, tantivy.Query.boost_query(found, weight / theirs)))
    return tantivy.Query.boolean_query(parts)
