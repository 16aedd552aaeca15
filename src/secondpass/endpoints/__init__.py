"""OpenAI-compatible endpoints over HTTP: one client for all who ask one."""

from secondpass.endpoints.chat import Chat, Message
from secondpass.endpoints.post import Post, address

__all__ = ["Chat", "Message", "Post", "address"]
