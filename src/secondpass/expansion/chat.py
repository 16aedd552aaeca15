"""ChatExpander: rewordings of a query by a language model, or the query alone where it fails.

query -> prompt in its language -> chat -> JSON, checked -> queries
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from typing import Protocol

from secondpass.endpoints import Message
from secondpass.endpoints.language import in_chinese
from secondpass.errors import EngineError, InvalidInput
from secondpass.types import Expansion

LONGEST = 300  # characters of a query; what is longer is prose and no query
SHOWN = 200
THOUGHTS = re.compile("<think>.*?</think>", re.DOTALL)

ENGLISH = (
    "You write queries for a search engine. Write {count} other ways to ask for what the user's "
    "query asks for: other words, other forms, aspects that an answer would name. Do not answer it. "
    "Use the language of the query. Reply with a JSON array of {count} strings and nothing else."
)
CHINESE = (
    "你为搜索引擎撰写查询语句。请针对用户的查询写出{count}条不同的问法：换用其他词语和句式，"
    "或写出答案可能涉及的方面。不要回答问题。使用与查询相同的语言。"
    "只回复一个含有{count}个字符串的JSON数组，不要有其他内容。"
)

logger = logging.getLogger(__name__)


class Replying(Protocol):
    """What replies to messages, as `endpoints.Chat` does."""

    def reply(self, messages: Sequence[Message]) -> str:
        """The reply; EngineError where there is none."""


class ChatExpander:
    """Asks a model for at most `count` rewordings of a query.

    Where the model cannot be asked, or replies with no list of queries, the query stays alone:
    `failure` of the expansion says why, and so does a warning in the log.
    """

    def __init__(self, chat: Replying, count: int = 3) -> None:
        if count < 1:
            raise InvalidInput(f"count={count}; expected a whole number from 1")
        self.chat = chat
        self.count = count

    def expand(self, query: str) -> Expansion:
        """The rewordings, without the query itself and without repeats."""
        try:
            queries = parse_queries(self.chat.reply(self.messages(query)))
        except EngineError as error:
            logger.warning("the query was not expanded: %s", error)
            return Expansion((), "chat", str(error))
        others = [one for one in queries if one != query.strip()]
        failure = None if others else "the model repeated the query"
        return Expansion(tuple(others[: self.count]), "chat", failure)

    def messages(self, query: str) -> list[Message]:
        """The instruction, in Chinese for a Chinese query and else in English, and the query."""
        instruction = (CHINESE if in_chinese(query) else ENGLISH).format(count=self.count)
        return [Message("system", instruction), Message("user", query)]


def parse_queries(reply: str) -> list[str]:
    """The queries of a reply, each once, blanks at their ends removed; EngineError for anything else.

    A reply is a JSON array of strings, perhaps within an object, a code fence or prose.
    """
    text = THOUGHTS.sub("", reply)
    start, end = text.find("["), text.rfind("]")
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError) as error:
        raise _no_list(reply) from error
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _no_list(reply)
    # one line each: white space within a query says nothing
    queries = list(dict.fromkeys(" ".join(one.split()) for one in found))
    queries = [one for one in queries if one and len(one) <= LONGEST]
    if not queries:
        raise _no_list(reply)
    return queries


def _no_list(reply: str) -> EngineError:
    return EngineError(
        f"the model replied '{' '.join(reply.split())[:SHOWN]}'; expected a JSON array of queries, "
        "strings that are not blank; try another model"
    )
