"""Which language should a prompt be in? Chinese for Chinese, and English for all else."""

from __future__ import annotations

import re

HAN = re.compile("[\u3400-\u9fff]")
KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\uac00-\ud7af]")


def in_chinese(query: str) -> bool:
    """Whether a query reads as Chinese: it has Chinese characters, and none of Japanese or Korean."""
    return HAN.search(query) is not None and KANA_OR_HANGUL.search(query) is None
