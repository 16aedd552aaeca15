"""Character classes that splitting and unwrapping share, each as the inside of a regex `[...]`."""

from __future__ import annotations

# Han and kana: written without spaces, so a line may break between any two of them.
IDEOGRAPHS = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003fffd"
)
HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
# Punctuation and letters as wide as an ideograph.
FULL_WIDTH = "\u3000-\u3004\u3008-\u303f\uff01-\uff60\uffe0-\uffe6"

# These end a sentence wherever they stand; `.!?` only where white space follows.
FINAL_ANYWHERE = "。！？；…｡।॥؟۔"
# What may stand between the end of a sentence and the next one, and belongs to the former.
CLOSING = "\"'”’»」』）】》〉〕)\\]*_"
