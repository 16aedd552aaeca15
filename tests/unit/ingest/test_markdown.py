from __future__ import annotations

from secondpass.ingest.markdown import load_markdown
from secondpass.ingest.split import split


def load_one(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_bytes(text.encode())
    (document,) = load_markdown(path)
    assert document.text == text
    return document


def sections(document):
    return [
        (section.headings, document.text[section.start : section.end])
        for section in document.sections
    ]


def test_sections_stand_under_their_headings_and_hold_the_heading_line(tmp_path):
    document = load_one(tmp_path, "intro\n\n# One\n\nfirst\n\n## Two\nsecond\n# Three\nthird")

    assert sections(document) == [
        ((), "intro\n\n"),
        (("One",), "# One\n\nfirst\n\n"),
        (("One", "Two"), "## Two\nsecond\n"),
        (("Three",), "# Three\nthird"),
    ]
    assert document.title == "One"


def test_a_hash_in_code_is_no_heading(tmp_path):
    document = load_one(tmp_path, "# One\n\n```sh\n# comment\n```\n\n    # indented\n\n#no space\n")

    assert [headings for headings, _ in sections(document)] == [("One",)]


def test_setext_headings_with_windows_line_ends(tmp_path):
    document = load_one(tmp_path, "Title\r\n=====\r\nfirst\r\n\r\nBelow\r\n---\r\nsecond\r\n")

    assert sections(document) == [
        (("Title",), "Title\r\n=====\r\nfirst\r\n\r\n"),
        (("Title", "Below"), "Below\r\n---\r\nsecond\r\n"),
    ]


def test_heading_titles_are_plain_text(tmp_path):
    text = (
        "# The *big* [link](http://x) `code` &amp; ![pic](p.png) [ref]\ntext\n\n[ref]: http://y\n"
    )

    document = load_one(tmp_path, text)

    assert document.title == "The big link code & pic ref"


def test_headings_in_quotations_and_lists_make_no_sections(tmp_path):
    document = load_one(tmp_path, "# One\n\n> # quoted\n\n- # listed\n")

    assert [headings for headings, _ in sections(document)] == [("One",)]


def test_front_matter_gives_the_title_and_is_in_no_passage(tmp_path):
    document = load_one(tmp_path, '---\nid: x\ntitle: "A: title"\n---\n\n# One\n\nfirst\n')

    assert document.title == "A: title"
    assert [passage.text for passage in split([document])] == ["# One\n\nfirst"]


def test_front_matter_without_headings_is_in_no_passage(tmp_path):
    document = load_one(tmp_path, "+++\ntitle = 'T'\n+++\nonly text\n")

    assert document.title == "T"
    assert [passage.text for passage in split([document])] == ["only text"]


def test_a_thematic_break_is_no_front_matter(tmp_path):
    document = load_one(tmp_path, "---\n\nA sentence.\n\n---\n\nAnother.\n")

    assert document.sections == ()


def test_offsets_stay_true_behind_front_matter(tmp_path):
    document = load_one(tmp_path, "---\ntitle: 标题\n---\n前言。\n\n## 第一\n\n正文。\n")

    assert sections(document) == [((), "前言。\n\n"), (("第一",), "## 第一\n\n正文。\n")]
