"""Commands in forks of one process that has imported them: most of a short command is imports.

Each command still has a process, an environment and a folder of its own. `python -m preloaded
ADDRESS` serves; what `client` writes is an executable file that stands for `secondpass`.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TextIO

MODULES = [
    "secondpass.build",
    "secondpass.cli.main",
    "secondpass.engine.encoders",
    "secondpass.ingest",
    "secondpass.library",
    "secondpass.pipeline",
    "secondpass.retrieval.stores.sqlite",
]
CLIENT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [b"%12d" % len(asked)], [0, 1, 2])
    server.sendall(asked)
    answer = server.recv(9)
sys.exit(int(answer) if answer else "the command's process died")
"""


@cache
def client() -> Path:
    """An executable file named secondpass, in a folder of its own; its server ends with us."""
    folder = Path(tempfile.mkdtemp(prefix="secondpass-"))
    address = str(folder / "address")
    plain = {name: value for name, value in os.environ.items() if "SECONDPASS" not in name}
    server = subprocess.Popen(
        [sys.executable, "-m", "preloaded", address],
        cwd=Path(__file__).parent,
        env={**plain, "OPENBLAS_NUM_THREADS": "1"},  # a fork has none of the threads
        stdout=subprocess.PIPE,
    )
    atexit.register(server.kill)
    assert server.stdout.readline() == b"ready\n"
    file = folder / "secondpass"
    file.write_text(CLIENT.format(python=sys.executable, address=address), encoding="utf-8")
    file.chmod(0o755)
    return file


def serve(address: str) -> None:
    """Answer each client with the exit code of its command, run in a fork."""
    for name in MODULES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        os.write(1, b"ready\n")
        while True:
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    listening.close()
                    answer(connection)


def answer(connection: socket.socket) -> None:
    """Run the command that a client asks for; never returns."""
    length, descriptors, _, _ = socket.recv_fds(connection, 12, 3)
    asked = b""
    while len(asked) < int(length):
        asked += connection.recv(1 << 20)
    for target, given in enumerate(descriptors):
        os.dup2(given, target)
        os.close(given)
    arguments, folder, environment = json.loads(asked)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["secondpass", *arguments]
    sys.stdin, sys.stdout = opened(0, "r"), opened(1, "w")
    sys.stderr = opened(2, "w", "backslashreplace")
    code = run()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    connection.sendall(b"%d" % code)
    os._exit(code)


def opened(descriptor: int, mode: str, errors: str = "strict") -> TextIO:
    """A standard stream as Python opens it."""
    return os.fdopen(descriptor, mode, encoding="utf-8", errors=errors, closefd=False)


def run() -> int:
    """The exit code that Python would end with."""
    from secondpass.cli import main

    try:
        main()
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        sys.stderr.write(f"{left.code}\n")
    except BaseException:  # noqa: BLE001  # as at the end of any program
        sys.excepthook(*sys.exc_info())
    else:
        return 0
    return 1


if __name__ == "__main__":
    serve(sys.argv[1])
