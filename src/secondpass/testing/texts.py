"""Texts that are hard to treat alike: blank, odd, repeated, and very long ones."""

from __future__ import annotations

TEXTS = (
    "The giant panda is a bear species endemic to China.",
    "",
    "大熊猫是中国特有的一种熊科动物。",
    "a bear",
    "naïve 👩‍👧 e\u0301\u200b text\x00 with\r\nodd\tcharacters",
    "a bear",
    "because " * 3000,
)
