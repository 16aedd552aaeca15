from __future__ import annotations

from secondpass.ingest.unwrap import Unwrapped, soft_wraps, unwrap

FULL = "一二三四五六七八九十" * 4  # 80 columns


def test_full_lines_are_joined_and_short_ones_are_not():
    text = f"标题一行\n{FULL}\n{FULL}\n结束了。\n下一段的开头"

    assert unwrap(text) == f"标题一行\n{FULL}{FULL}结束了。\n下一段的开头"


def test_a_line_that_ends_a_sentence_stays():
    text = f"{FULL[:-1]}。\n{FULL[:-2]}。”\n{FULL}\n完"

    assert unwrap(text) == f"{FULL[:-1]}。\n{FULL[:-2]}。”\n{FULL}完"


def test_a_number_torn_from_its_unit_is_joined():
    text = f"{FULL[:-4]}增长 5.2\n亿元{FULL[:-2]}\n11\n"

    assert "增长 5.2亿元" in unwrap(text)


def test_items_headings_and_indented_paragraphs_begin_lines():
    starts = [
        "一、总则",
        "（二）范围",
        "第三条 内容",
        "1. 列表",
        "2、列表",
        "- 项",
        "# 题",
        "| 表",
        "　　段",
    ]
    for start in starts:
        text = "\n".join([FULL, start + FULL[:30], FULL, FULL])
        assert unwrap(text).startswith(f"{FULL}\n{start}"), start


def test_indentation_of_a_joined_line_goes_with_the_line_end():
    text = f"　　{FULL[:-2]}\n{FULL}\r\n{FULL}"

    assert unwrap(text) == f"　　{FULL[:-2]}{FULL}{FULL}"


def test_lists_of_names_korean_english_and_long_paragraphs_are_left_alone():
    names = "\n".join(["北京市", "上海市", "天津市", "重庆市"] * 5)
    korean = "\n".join(["대한민국의 수도는 서울이며 인구가 많은 도시이다 그리고 또한"] * 8)
    english = "\n".join(["This line of English text is about seventy columns wide, as usual"] * 8)
    paragraphs = "\n".join([FULL * 4] * 5)

    for text in (names, korean, english, paragraphs):
        assert unwrap(text) == text


def test_code_is_left_alone():
    text = "\n".join([FULL, FULL, "```", FULL, FULL, "```", FULL, FULL])

    assert unwrap(text) == "\n".join([FULL * 2, "```", FULL, FULL, "```", FULL * 2])


def test_a_part_is_unwrapped_by_the_width_of_the_whole():
    text = f"{FULL}\n{FULL}\n{FULL}\n{FULL}"

    assert unwrap(text, 35, 47) == text[35:40] + text[41:47]
    assert unwrap(text, 41, 81) == FULL


def test_offsets_lead_back_to_the_wrapped_text():
    text = f"{FULL}\n{FULL}\r\n　{FULL}".replace("　", "")
    unwrapped = Unwrapped.of(text)

    assert len(soft_wraps(text)) == 2
    for offset, character in enumerate(unwrapped.text):
        start = unwrapped.source_start(offset)
        assert text[start] == character
        assert unwrapped.source_end(offset + 1) == start + 1
        assert unwrapped.offset(start) == offset
    assert unwrapped.offset(40) == unwrapped.offset(41) == 40
    assert unwrapped.offset(len(text)) == len(unwrapped.text)
