"""The other end of worker.py: engines in processes of their own, at rest while others compute."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.errors import EngineError

PACKAGE = Path(__file__).resolve().parents[2]
# The folder of this package comes last on the path: what the engine's own environment has, wins.
CODE = "import sys; sys.path.append({!r}); from secondpass.evaluation.worker import main; main()"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Home:
    """Where an engine runs: a Python and its environment variables."""

    python: str
    environment: Mapping[str, str]

    def for_threads(self, threads: int) -> dict[str, str]:
        """The environment, with the common libraries told how many threads they may use."""
        quiet = {
            "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
            "HF_HUB_OFFLINE": "1",
        }
        return {**self.environment, **dict.fromkeys(THREADS, str(threads)), **quiet}


class Process:
    """An engine's process. It is stopped between requests where the system has a signal for it."""

    def __init__(self, home: Home, threads: int) -> None:
        # a file and not a pipe: nobody reads it while the process runs
        self._errors = tempfile.TemporaryFile(  # noqa: SIM115
            mode="w+", encoding="utf-8", errors="replace"
        )
        self._child = subprocess.Popen(
            [home.python, "-c", CODE.format(str(PACKAGE))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=home.for_threads(threads),
            text=True,
            encoding="utf-8",
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request; EngineError with the reason where there is none."""
        self._signal("SIGCONT")
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise EngineError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "reason" in answer:
            raise EngineError(answer["reason"])
        self._signal("SIGSTOP")
        return answer

    def close(self) -> None:
        """End the process."""
        self._child.kill()  # it may be stopped, and has nothing to put in order
        self._child.communicate()
        self._errors.close()

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self._child.poll() is None:
            self._child.send_signal(getattr(signal, name))

    def _last_words(self) -> str:
        """What the process said last, which with Python is the error."""
        code = self._child.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit)\b", line)]
        said = (errors or lines or ["it said nothing"])[-1]
        return f"the process ended with code {code}: {said[:REASON_CHARACTERS]}"


def own_home(environment: Mapping[str, str]) -> Home:
    """The interpreter that runs now."""
    return Home(sys.executable, environment)


def homes(
    names: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> dict[str, Home]:
    """Where each engine runs: the virtual environment of its name in `folder`, or right here."""
    found = {}
    for name in names:
        python = folder / name / "bin" / "python" if folder is not None else None
        there = python is not None and python.is_file()
        found[name] = Home(str(python), environment) if there else own_home(environment)
    return found
