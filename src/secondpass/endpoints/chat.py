"""Chat: what a language model says, from an OpenAI-compatible /chat/completions endpoint.

messages -> POST -> one reply, or its pieces as they come
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

from secondpass.endpoints.events import event_data
from secondpass.endpoints.post import SHOWN, Post, address
from secondpass.errors import EngineError, InvalidInput

PATH = "chat/completions"
END = "[DONE]"
CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a model: `role` is 'system', 'user' or 'assistant'."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A model behind HTTP; without a name the endpoint takes its own. Many threads may use one."""

    post: Post
    model: str | None = None

    @classmethod
    def open(
        cls,
        url: str,
        *,
        model: str | None = None,
        key: str | None = None,
        timeout_s: float = 60.0,
        attempts: int = 4,
    ) -> Chat:
        """The model of the endpoint at `url`, the part before /chat/completions. Asks nothing yet.

        `timeout_s` bounds each wait for something to come, not the whole answer. Raises InvalidInput
        for what is no address, and for a timeout or attempts that are not above 0.
        """
        if not (timeout_s > 0 and attempts > 0):
            raise InvalidInput(
                f"timeout_s={timeout_s}, attempts={attempts}; expected numbers above 0, 60 and 4 say"
            )
        return cls(Post(address(url, PATH), key, timeout_s, attempts), model)

    def reply(self, messages: Sequence[Message]) -> str:
        """The whole reply at once; EngineError where there is none, or where it was cut short."""
        return _text_of(self.post(self._body(messages, stream=False)), self.post.url)

    def stream(self, messages: Sequence[Message]) -> Iterator[str]:
        """The reply in pieces as they come, none of them empty.

        Raises EngineError where nothing comes, and after the pieces that came where the reply
        stopped before its end: the connection broke, or the model reached its limit.
        """
        with self.post.stream(self._body(messages, stream=True)) as response:
            if "json" in response.headers.get("Content-Type", ""):  # it does not stream
                yield _text_of(self.post.parsed(response.read()), self.post.url)
                return
            yield from self._pieces(response)

    def _body(self, messages: Sequence[Message], *, stream: bool) -> Mapping[str, object]:
        said = [{"role": message.role, "content": message.content} for message in messages]
        body: dict[str, object] = {"messages": said, "stream": stream}
        if self.model is not None:
            body["model"] = self.model
        return body

    def _pieces(self, response: HTTPResponse) -> Iterator[str]:
        finish: str | None = None
        said = ended = False
        try:
            for data in event_data(iter(lambda: response.read1(CHUNK_BYTES), b"")):
                if data.strip() == END:
                    ended = True
                    break
                piece, finish_now = _delta(data, self.post.url)
                finish = finish_now or finish
                if piece:
                    said = True
                    yield piece
        except (HTTPException, OSError) as error:
            raise EngineError(
                f"'{self.post.url}' stopped in the middle of its answer "
                f"({error!r}); expected it to its end; ask again"
            ) from error
        if finish is not None:
            _check_finish(finish, self.post.url)
        elif not ended:
            raise EngineError(
                f"'{self.post.url}' stopped in the middle of its answer; expected a reason to finish "
                f"or {END}; ask again"
            )
        if not said:
            raise _empty(self.post.url)


def _delta(data: str, url: str) -> tuple[str, str | None]:
    """The piece of text in an event, perhaps empty, and the reason to finish if it has one."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _no_chat(url, data) from error
    if isinstance(event, dict) and event.get("error"):
        said = event["error"]
        message = said.get("message", said) if isinstance(said, dict) else said
        raise EngineError(f"'{url}' failed in its answer: {str(message)[:SHOWN]}; ask again")
    choices = event.get("choices") if isinstance(event, dict) else None
    if choices == []:  # the event that only counts tokens
        return "", None
    try:
        choice = choices[0]  # type: ignore[index]  # whatever it is not is caught below
        content = (choice.get("delta") or {}).get("content")
        finish = choice.get("finish_reason")
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise _no_chat(url, data) from error
    if not isinstance(content, str | None) or not isinstance(finish, str | None):
        raise _no_chat(url, data)
    return content or "", finish


def _text_of(answer: Mapping[str, object], url: str) -> str:
    try:
        choice = answer["choices"][0]  # type: ignore[index]  # whatever it is not is caught below
        content, finish = choice["message"]["content"], choice.get("finish_reason")
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise _no_chat(url, json.dumps(answer, ensure_ascii=False)) from error
    if not isinstance(content, str) or not content.strip():
        raise _empty(url)
    if isinstance(finish, str):
        _check_finish(finish, url)
    return content


def _check_finish(finish: str, url: str) -> None:
    if finish == "length":
        raise EngineError(
            f"'{url}' cut its answer off at its limit of tokens; expected a whole answer; raise the "
            "server's limit, or give it fewer passages"
        )
    if finish == "content_filter":
        raise EngineError(f"'{url}' held back its answer (content filter); ask something else")


def _no_chat(url: str, data: str) -> EngineError:
    return EngineError(
        f"'{url}' answered '{data[:SHOWN]}'; expected the answer of an OpenAI-compatible "
        "/chat/completions endpoint; check the address"
    )


def _empty(url: str) -> EngineError:
    return EngineError(f"'{url}' answered nothing; expected a text; see whether the model works")
