"""One engine in a process of its own: loads it, then scores as often as it is told to.

Requests and answers are JSON, a line each, on the streams that were standard input and output at
the start. Whatever a library prints goes to standard error, and so does what ends the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from secondpass.errors import SecondpassError
from secondpass.evaluation.machine import memory_mb, versions
from secondpass.evaluation.peers.table import Peer, Task, entry, load


def main() -> None:
    """Serve standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    serve(sys.stdin, answers)


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer each request; one that the engine refuses has the reason as its answer."""
    peer: Peer | None = None
    for line in requests:
        request = json.loads(line)
        try:
            if peer is None:
                peer, answer = load_peer(request)
            else:
                answer = score(peer, request)
        except SecondpassError as error:
            answer = {"reason": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def load_peer(request: Mapping[str, Any]) -> tuple[Peer, dict[str, Any]]:
    """The engine that is asked for, and what is to be said of it."""
    name = request["engine"]
    task = Task(
        Path(request["model"]), request["threads"], request["max_tokens"], Path(request["cache"])
    )
    bind(task.threads)
    started = time.perf_counter()
    peer = load(name, task)
    seconds = time.perf_counter() - started
    found = versions(*entry(name).packages)
    return peer, {"load_s": seconds, "policy": peer.policy, "versions": found, **_memory()}


def score(peer: Peer, request: Mapping[str, Any]) -> dict[str, Any]:
    """Logits of all texts, and how long they took."""
    started = time.perf_counter()
    logits = peer.logits(request["query"], request["texts"])
    ms = 1000 * (time.perf_counter() - started)
    return {"ms": ms, "logits": [float(logit) for logit in logits], **_memory()}


def bind(threads: int) -> None:
    """Keep the process to so many physical cores: not every engine lets its threads be counted."""
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))
    siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    cores: dict[str, int] = {}
    for cpu in allowed:
        path = Path(siblings.format(cpu))
        cores.setdefault(path.read_text() if path.is_file() else str(cpu), cpu)
    first = list(cores.values())
    rest = [cpu for cpu in allowed if cpu not in first]
    os.sched_setaffinity(0, (first + rest)[:threads])


def _memory() -> dict[str, float]:
    return {f"{name}_mb": mb for name, mb in memory_mb().items()}


if __name__ == "__main__":
    main()
