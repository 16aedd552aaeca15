"""How is an endpoint asked that may be busy? Again after a while, and not for ever.

JSON -> POST -> 2xx: JSON or a stream; 408, 409, 429, 5xx, no answer: wait and again; else an error
"""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import TypeVar, cast
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from secondpass.errors import EngineError, InvalidInput

WORTH_ANOTHER = (408, 409, 429)  # and every status from 500 on
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
SHOWN = 300  # characters of an endpoint's own message

logger = logging.getLogger(__name__)

T = TypeVar("T")


def address(url: str, path: str) -> str:
    """Where to send requests: `path` below `url`; InvalidInput where that is no http(s) address."""
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(
            f"url='{url}' is no address; expected one like 'http://localhost:8000/v1', the part "
            f"before /{path}"
        )
    return f"{url.rstrip('/').removesuffix('/' + path)}/{path}"


@dataclass(frozen=True, slots=True)
class Post:
    """Sends JSON to `url` and returns the object that comes back, with `key` as bearer token.

    At most `attempts` times, waiting half a second, then twice as long each time (give or take a
    quarter, so that many callers do not come back together), or as long as Retry-After says.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0
    attempts: int = 6
    wait: Callable[[float], None] = time.sleep

    def __call__(self, body: Mapping[str, object]) -> Mapping[str, object]:
        """The answer to `body`; raises EngineError, which never shows the key."""
        return self._patiently(lambda: self._object(body))

    def stream(self, body: Mapping[str, object]) -> HTTPResponse:
        """The open answer to `body`, for the caller to read and close; EngineError as above.

        Only the opening is tried again: what a stream has begun to say cannot be said anew.
        """
        return self._patiently(lambda: self._open(body, "text/event-stream"))

    def _patiently(self, ask: Callable[[], T]) -> T:
        for attempt in range(1, self.attempts + 1):
            try:
                return ask()
            except HTTPError as error:
                status, message = error.code, _message(error)
                if status < 500 and status not in WORTH_ANOTHER:
                    raise self._refused(status, message) from error
                trouble, asked = f"status {status}: {message}", error.headers.get("Retry-After")
            except (URLError, HTTPException, OSError) as error:
                trouble, asked = f"{error}", None
            if attempt < self.attempts:
                seconds = waiting_time(attempt, asked)
                logger.warning("'%s' failed (%s); again in %.1f s", self.url, trouble, seconds)
                self.wait(seconds)
        often = f"{self.attempts} times, the last time" if self.attempts > 1 else "once,"
        raise EngineError(
            f"'{self.url}' failed {often} with {trouble}; expected an answer; see whether it runs, "
            "wait, or allow more attempts"
        )

    def _open(self, body: Mapping[str, object], accepted: str) -> HTTPResponse:
        headers = {"Content-Type": "application/json", "Accept": accepted}
        request = Request(self.url, json.dumps(body).encode(), headers)  # http(s) only: address()
        if self.key:  # not to be sent on to where the endpoint redirects
            request.add_unredirected_header("Authorization", f"Bearer {self.key}")
        return cast(HTTPResponse, urlopen(request, timeout=self.timeout_s))

    def _object(self, body: Mapping[str, object]) -> Mapping[str, object]:
        with self._open(body, "application/json") as response:
            content = response.read()
        return self.parsed(content)

    def parsed(self, content: bytes) -> Mapping[str, object]:
        """The JSON object that an answer is; EngineError for anything else."""
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            start = content[:SHOWN].decode("utf-8", "replace")
            raise EngineError(
                f"'{self.url}' answered '{start}', which is no JSON; expected the answer of an "
                "OpenAI-compatible endpoint; check the address"
            ) from error
        if not isinstance(answer, dict):
            raise EngineError(
                f"'{self.url}' answered with a {type(answer).__name__}; expected a JSON object; "
                "check the address"
            )
        return answer

    def _refused(self, status: int, message: str) -> EngineError:
        advice = "correct the request"
        if status in (401, 403):
            advice = "check the key" if self.key else "pass a key"
        elif status == 404:
            advice = "check the address and the model's name"
        elif status in (400, 413, 422):
            advice = "check the model's name, and that nothing is longer than the model reads"
        return EngineError(f"'{self.url}' refused with status {status}: {message}; {advice}")


def waiting_time(attempt: int, asked: str | None) -> float:
    """Seconds before the next attempt: what Retry-After asks for, or twice as long each time."""
    seconds = _asked_seconds(asked) if asked else None
    if seconds is None:
        seconds = FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def _asked_seconds(asked: str) -> float | None:
    """Retry-After is a number of seconds or a date; None for what is neither."""
    try:
        seconds = float(asked)
        return seconds if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(asked)
    except ValueError:
        return None
    return (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _message(error: HTTPError) -> str:
    """What the endpoint says itself: OpenAI's error.message, or the beginning of its answer."""
    try:
        content = error.read().decode("utf-8", "replace")
    except OSError as unread:
        return f"{error.reason} ({unread})"
    try:
        said = json.loads(content)["error"]
        return str(said["message"] if isinstance(said, dict) else said)[:SHOWN]
    except (ValueError, RecursionError, KeyError, TypeError):
        return content[:SHOWN] or str(error.reason)
