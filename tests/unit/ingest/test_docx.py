from __future__ import annotations

import sys

import docx
import pytest

from secondpass.errors import DocumentError, MissingExtra
from secondpass.ingest.docx import load_docx
from secondpass.ingest.load import load


def test_headings_paragraphs_and_tables_in_order(tmp_path):
    path = tmp_path / "file.docx"
    source = docx.Document()
    source.core_properties.title = ""
    source.add_heading("The title", 0)
    source.add_heading("One", 1)
    source.add_paragraph("first")
    source.add_paragraph(" ")
    table = source.add_table(rows=2, cols=3)
    for cell, text in zip(table._cells, "abcdef", strict=True):
        cell.text = text
    table.cell(1, 0).merge(table.cell(1, 1)).text = "wide"
    source.add_heading("Two", 2)
    source.add_paragraph("second")
    source.save(str(path))

    (document,) = load_docx(path)

    assert document.title == "The title"
    assert document.text == "The title\n\nOne\n\nfirst\n\na\tb\tc\nwide\tf\n\nTwo\n\nsecond"
    found = [(one.headings, document.text[one.start : one.end]) for one in document.sections]
    assert found == [
        (("The title", "One"), "The title\n\nOne\n\nfirst\n\na\tb\tc\nwide\tf\n\n"),
        (("The title", "One", "Two"), "Two\n\nsecond"),
    ]


@pytest.mark.parametrize("data", [b"no archive", b"PK\x03\x04 broken", b""])
def test_damaged_files_are_refused(tmp_path, data):
    path = tmp_path / "file.docx"
    path.write_bytes(data)

    with pytest.raises(DocumentError, match=r"damaged or no \.docx"):
        list(load_docx(path))


def test_an_old_or_encrypted_file_says_so(tmp_path):
    path = tmp_path / "file.docx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")

    with pytest.raises(DocumentError, match=r"encrypted or an old \.doc"):
        list(load_docx(path))


def test_without_the_extra_a_named_file_is_refused_at_once(tmp_path, monkeypatch):
    path = tmp_path / "file.docx"
    docx.Document().save(str(path))
    monkeypatch.setitem(sys.modules, "docx", None)

    with pytest.raises(MissingExtra, match=r"pip install 'secondpass\[docx\]'"):
        load(path)


def test_without_the_extra_a_folder_is_loaded_but_for_the_file(tmp_path, monkeypatch):
    docx.Document().save(str(tmp_path / "file.docx"))
    (tmp_path / "note.txt").write_text("text")
    monkeypatch.setitem(sys.modules, "docx", None)
    failures = []

    documents = list(load(tmp_path, on_failure=failures.append))

    assert [document.text for document in documents] == ["text"]
    assert "needs the extra 'docx'" in failures[0].reason
