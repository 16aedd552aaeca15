"""A chat endpoint over real HTTP that does as it is told, rightly or wrongly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """What is sent: the body in these chunks, and then the end, or the connection cut before it."""

    chunks: list[bytes]
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def said(text: str | None, finish: str | None = "stop") -> Reply:
    """A whole completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    return Reply([json.dumps({"choices": [choice | {"finish_reason": finish}]}).encode()])


def event(text: str | None, finish: str | None = None) -> bytes:
    """An event of a stream; its text stands there as UTF-8, as some servers send it."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n".encode()


def streamed(*pieces: str, finish: str | None = "stop", done: bool = True) -> Reply:
    """A stream of these pieces."""
    end = [event(None, finish)] if finish else []
    end += [b"data: [DONE]\n\n"] if done else []
    return Reply([event(piece) for piece in pieces] + end, kind="text/event-stream")


@dataclass
class ChatServer:
    """What was asked, and what is to be answered: one after another, then the last one again."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def will(self, *replies: Reply) -> None:
        self.replies[:] = replies


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    state = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            state.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            state.headers.append(dict(self.headers))
            state.paths.append(self.path)
            reply = state.replies[0] if len(state.replies) == 1 else state.replies.pop(0)
            self.send_response(reply.status)
            for name, value in {"Content-Type": reply.kind, **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            for chunk in reply.chunks:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            if not reply.cut:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
