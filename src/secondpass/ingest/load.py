"""Files in, documents out, one at a time; what cannot be read is said and does not stop the rest.

paths -> files in order -> loader by ending -> documents, failures, skips
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from secondpass.errors import DocumentError, InvalidInput, MissingExtra
from secondpass.ingest.docx import load_docx, require_docx
from secondpass.ingest.html import load_html
from secondpass.ingest.jsonl import load_jsonl
from secondpass.ingest.markdown import load_markdown
from secondpass.ingest.outcome import Failure, Outcome, Skip
from secondpass.ingest.pdf import load_pdf
from secondpass.ingest.text import load_text
from secondpass.types import Document

_log = logging.getLogger(__name__)

Loader = Callable[[Path], Iterator[Outcome]]
LOADERS: dict[str, Loader] = {
    ".txt": load_text,
    ".text": load_text,
    ".log": load_text,
    ".rst": load_text,
    ".md": load_markdown,
    ".markdown": load_markdown,
    ".html": load_html,
    ".htm": load_html,
    ".pdf": load_pdf,
    ".jsonl": load_jsonl,
    ".ndjson": load_jsonl,
    ".docx": load_docx,
}
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    loader: Loader


_Found = _Source | Failure | Skip


def load(
    paths: str | Path | Sequence[str | Path],
    *,
    pattern: str = "**/*",
    max_file_mb: float = 100,
    on_failure: Callable[[Failure], None] | None = None,
    on_skip: Callable[[Skip], None] | None = None,
) -> Iterator[Document]:
    """The documents of these files and folders, read as they are asked for.

    Folders are walked in sorted order, without hidden files; `pattern` is a glob that a file's path
    within its folder must match. A file named outright is read as text where its ending is unknown.
    No file larger than `max_file_mb` is read, save JSON Lines, which is streamed.

    A path that does not exist, or a folder without a file to load, raises DocumentError at once; a
    missing extra for a file named outright, MissingExtra. A file that turns out unreadable goes to
    `on_failure`; without it the rest is still loaded, and then one DocumentError lists all
    failures. What is left out goes to `on_skip`, or to the log.
    """
    named = [paths] if isinstance(paths, str | Path) else list(paths)
    if not named or "" in named:
        raise InvalidInput(f"paths={paths!r} names nothing; pass a file, a folder, or several")
    if not max_file_mb > 0:
        raise InvalidInput(f"max_file_mb={max_file_mb} is not above 0; pass a size in megabytes")
    found = [one for path in named for one in _find(_absolute(path), pattern)]
    return _deliver(_read_all(found, max_file_mb), on_failure, on_skip)


def _absolute(path: str | Path) -> Path:
    # Not `resolve`: an id that follows links would change with where a link points to.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _find(path: Path, pattern: str) -> list[_Found]:
    if path.is_dir():
        return _find_in_folder(path, pattern)
    if not path.exists():
        raise DocumentError(f"'{path}' does not exist; check the path")
    if not path.is_file():
        raise DocumentError(f"'{path}' is neither a file nor a folder; name one of these")
    if path.suffix.lower() == ".docx":
        require_docx()
    return [_Source(path, LOADERS.get(path.suffix.lower(), load_text))]


def _find_in_folder(folder: Path, pattern: str) -> list[_Found]:
    found: list[_Found] = []
    for path in _walk(folder, found):
        if not _matches(path.relative_to(folder).parts, pattern.split("/")):
            continue
        ending = path.suffix.lower()
        if ending not in LOADERS:
            said = f"its ending '{ending}' is unknown" if ending else "it has no ending"
            found.append(Skip(path.as_posix(), f"{said}; name the file itself to read it as text"))
        elif path.exists() and not path.is_file():
            found.append(Skip(path.as_posix(), "it is no regular file"))
        else:
            found.append(_Source(path, LOADERS[ending]))
    if not any(isinstance(one, _Source) for one in found):
        known = ", ".join(sorted(LOADERS))
        raise DocumentError(
            f"folder '{folder}' has no file to load for the pattern '{pattern}' "
            f"({len(found)} left out); supported endings: {known}"
        )
    return found


def _walk(folder: Path, unreadable: list[_Found]) -> Iterator[Path]:
    """The files below, a folder's own first, sorted; links to folders are followed once."""

    def note(error: OSError) -> None:
        unreadable.append(Failure(Path(error.filename).as_posix(), _reason(error)))

    visited: set[str] = set()
    for place, folders, files in os.walk(folder, onerror=note, followlinks=True):
        visited.add(os.path.realpath(place))
        folders[:] = sorted(
            name
            for name in folders
            if _visible(name) and os.path.realpath(Path(place, name)) not in visited
        )
        yield from (Path(place, name) for name in sorted(files) if _visible(name))


def _visible(name: str) -> bool:
    # Office programs put a lock file named `~$...` beside an open document.
    return not name.startswith((".", "~$"))


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    # By hand: how pathlib treats `**` and links differs among the Python versions supported.
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _read_all(found: Iterable[_Found], max_file_mb: float) -> Iterator[Outcome]:
    seen: set[Path] = set()
    for one in found:
        if not isinstance(one, _Source):
            yield one
        elif one.path in seen:
            yield Skip(one.path.as_posix(), "it was named before")
        else:
            seen.add(one.path)
            yield from _read(one, max_file_mb)


def _read(source: _Source, max_file_mb: float) -> Iterator[Outcome]:
    name = source.path.as_posix()
    if name != (plain := name.encode("utf-8", "replace").decode("utf-8")):
        yield Failure(plain, "its name is not valid UTF-8; rename it")
        return
    try:
        size_mb = source.path.stat().st_size / _MEGABYTE
        if size_mb > max_file_mb and source.loader is not load_jsonl:
            yield Failure(
                name,
                f"it has {size_mb:.1f} MB and the limit is {max_file_mb:g}; raise the limit with "
                f"--max-file-mb {int(size_mb) + 1}",
            )
            return
        for outcome in source.loader(source.path):
            blank = isinstance(outcome, Document) and not outcome.text.strip()
            yield Skip(name, "it is blank", name) if blank else outcome
    except OSError as error:
        yield Failure(name, _reason(error))
    except (DocumentError, MissingExtra) as error:
        yield Failure(name, str(error))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _deliver(
    outcomes: Iterator[Outcome],
    on_failure: Callable[[Failure], None] | None,
    on_skip: Callable[[Skip], None] | None,
) -> Iterator[Document]:
    failures: list[Failure] = []
    report_failure = on_failure or failures.append
    report_skip = on_skip or _log_skip
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            report_failure(outcome)
        elif isinstance(outcome, Skip):
            report_skip(outcome)
        else:
            yield outcome
    if failures:
        lines = "".join(f"\n  {failure}" for failure in failures)
        raise DocumentError(f"{len(failures)} could not be loaded; all else was:{lines}")


def _log_skip(skip: Skip) -> None:
    _log.info("%s", skip)
