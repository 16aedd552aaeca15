from __future__ import annotations

import codecs

import pytest

from secondpass.errors import DocumentError
from secondpass.ingest.text import decode, load_text

CHINESE = "北京市地区生产总值增长5.2%，城镇调查失业率4.4%。"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"", "gb18030"),
        (b"", "gbk"),
    ],
)
def test_known_encodings_give_the_same_text(mark, encoding):
    assert decode(mark + CHINESE.encode(encoding)) == CHINESE


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Le déjeuner a été servi près de la fenêtre.", "latin-1"),
        ("Die Prüfung über Größe und Maß.", "latin-1"),
        ("東京都は日本の首都であり、人口が多い都市です。", "shift-jis"),
        ("繁體中文的內容應該以正確的編碼讀取。", "big5"),
    ],
)
def test_other_encodings_are_refused_rather_than_read_as_chinese(text, encoding):
    with pytest.raises(DocumentError, match="convert it to UTF-8"):
        decode(text.encode(encoding))


def test_nul_bytes_are_binary():
    with pytest.raises(DocumentError, match="NUL bytes"):
        decode(b"\x7fELF\x00\x01")


def test_control_characters_are_not_taken_for_chinese():
    with pytest.raises(DocumentError, match="makes no sense"):
        decode(b"\x01\x02" + CHINESE.encode("gb18030"))


def test_half_a_utf16_character_names_its_offset():
    with pytest.raises(DocumentError, match="says utf-16-le, but at offset 4"):
        decode(codecs.BOM_UTF16_LE + "a".encode("utf-16-le") + b"b")


def test_the_text_is_kept_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(codecs.BOM_UTF8 + b" one\r\n\r\ntwo\t\n")

    (document,) = load_text(path)

    assert document.text == " one\r\n\r\ntwo\t\n"
    assert document.id == document.path == path.as_posix()
    assert (document.title, document.sections) == ("", ())
