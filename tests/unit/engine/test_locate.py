"""Where a model's files come from: the package, a folder, or a hub (here one on loopback)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from secondpass.engine.locate import BUNDLED, bundled_models, locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A hub's protocol as huggingface_hub speaks it, for one repository made of a folder's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                status, content, headers = hub.answer(self.path.partition("?")[0], self.command)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Tests keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str, command: str) -> tuple[int, bytes, dict[str, str]]:
        files = sorted(self.folder.iterdir())
        if path.startswith("/api/models/org/model/tree/"):
            sizes = [(file.name, file.stat().st_size) for file in files]
            entries = [{"type": "file", "path": n, "size": s, "oid": "0" * 40} for n, s in sizes]
            return 200, json.dumps(entries).encode(), {}
        if path.startswith("/api/models/org/model"):
            if path.rpartition("/revision/")[2] not in ("main", "v1", COMMIT):
                return 404, b"{}", {"X-Error-Code": "RevisionNotFound"}
            siblings = [{"rfilename": file.name} for file in files]
            answer = {"id": "org/model", "sha": COMMIT, "siblings": siblings}
            return 200, json.dumps(answer).encode(), {}
        file = self.folder / path.rpartition("/")[2]
        if path.startswith("/org/model/resolve/") and file.is_file():
            content = file.read_bytes()
            if command == "GET":
                self.fetched.append(file.name)
            etag = hashlib.sha256(content).hexdigest()
            return 200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        return 404, b"{}", {"X-Error-Code": "RepoNotFound"}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub(own_checkpoint) -> Iterator[Hub]:
    folder = own_checkpoint("bert")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "modeling_custom.py").write_text("raise SystemExit('remote code ran')")
    hub = Hub(folder)
    yield hub
    hub.close()


def load_by_name(hub: Hub | None, home: Path, *, name: str = "org/model", **options: object) -> str:
    """What loading by hub name prints in a process of its own: a score, or the error."""
    script = (
        "import sys, json\n"
        "from secondpass import CrossEncoder, SecondpassError\n"
        "name, options = sys.argv[1], json.loads(sys.argv[2])\n"
        "try:\n"
        "    print(CrossEncoder.load(name, **options).score([('a panda?', 'a bear')])[0])\n"
        "except SecondpassError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_ENDPOINT": hub.url if hub else "http://127.0.0.1:9",
    }
    if options.pop("environment_offline", False):
        environment["HF_HUB_OFFLINE"] = "1"
    command = [sys.executable, "-c", script, name, json.dumps(options)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_hub_model_is_fetched_pinned_and_found_again_offline(hub, tmp_path):
    from secondpass.engine import CrossEncoder

    expected = str(CrossEncoder.load(hub.folder).score([("a panda?", "a bear")])[0])

    assert load_by_name(hub, tmp_path / "hub", revision="v1") == expected
    assert set(hub.fetched) == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert load_by_name(None, tmp_path / "hub", revision="v1", offline=True) == expected
    assert load_by_name(None, tmp_path / "hub", revision="v1", environment_offline=True) == expected


def test_what_the_hub_does_not_have_is_said(hub, tmp_path):
    missing = load_by_name(hub, tmp_path, name="org/nothing")
    assert missing.startswith("ModelError 'org/nothing' is no folder here and not on the hub")
    revision = load_by_name(hub, tmp_path, revision="v9")
    assert revision.startswith("ModelError 'org/model' at revision 'v9'")


def test_offline_without_a_copy_says_how_to_get_one(tmp_path):
    answer = load_by_name(None, tmp_path, offline=True)

    assert answer.startswith("ModelError 'org/model' is no folder here, not in the local cache")


def test_a_repository_of_pickled_weights_only_is_refused(hub, tmp_path):
    (hub.folder / "model.safetensors").unlink()

    answer = load_by_name(hub, tmp_path)

    assert answer.startswith("ModelError")
    assert "pytorch_model.bin" in answer
    assert "pytorch_model.bin" not in hub.fetched


def test_the_bundled_models_are_found_by_name():
    assert "mini" in bundled_models()
    assert locate("mini") == BUNDLED / "mini"


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert locate(tmp_path) == tmp_path
