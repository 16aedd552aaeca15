from __future__ import annotations

import pytest

from secondpass.errors import DocumentError
from secondpass.ingest.outcome import Skip
from secondpass.ingest.pdf import load_pdf, sensible_title, without_page_numbers
from secondpass.ingest.split import Splitting, split
from secondpass.types import Section

FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
IMAGE = (
    "<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8"
    "/Length 1>>stream\nx\nendstream"
)
PICTURE = "q 100 0 0 100 50 50 cm /I Do Q"


def lines_of_text(*lines):
    shown = " ".join(f"({line}) Tj T*" for line in lines)
    return f"BT /F 12 Tf 50 700 Td 14 TL {shown} ET"


def make_pdf(*contents, title=""):
    """The bytes of a PDF with a page for each content stream."""
    pages = range(6, 6 + 2 * len(contents), 2)
    kids = " ".join(f"{page} 0 R" for page in pages)
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(contents)}/Kids[{kids}]>>",
        FONT,
        IMAGE,
        f"<</Title({title})>>",
    ]
    for page, content in zip(pages, contents, strict=True):
        objects.append(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>"
            f"/XObject<</I 4 0 R>>>>/Contents {page + 1} 0 R>>"
        )
        objects.append(f"<</Length {len(content)}>>stream\n{content}\nendstream")
    data = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj{body}endobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer<</Size {size}/Root 1 0 R/Info 5 0 R>>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def load_bytes(tmp_path, data):
    path = tmp_path / "file.pdf"
    path.write_bytes(data)
    return list(load_pdf(path))


def test_a_page_is_a_section_and_pages_are_joined_by_a_line_end(tmp_path):
    data = make_pdf(
        lines_of_text("first line", "second line"), lines_of_text("next page"), title="T"
    )

    (document,) = load_bytes(tmp_path, data)

    assert document.text == "first line\nsecond line\nnext page"
    assert document.sections == (Section(0, 22, page=1), Section(23, 32, page=2))
    assert document.title == "T"


def test_hyphens_at_line_ends_are_taken_out(tmp_path):
    (document,) = load_bytes(tmp_path, make_pdf(lines_of_text("hyphen-", "ation is undone")))

    assert document.text == "hyphenation is undone"


def test_page_numbers_do_not_stand_in_a_sentence_across_pages(tmp_path):
    data = make_pdf(
        lines_of_text("A sentence runs", "- 7 -"), lines_of_text("over the page.", "- 8 -")
    )

    (document,) = load_bytes(tmp_path, data)
    (passage,) = split([document], Splitting(by="size"))

    assert (passage.text, passage.page) == ("A sentence runs\nover the page.", 1)


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (["— 1 —\na", "— 2 —\nb"], ["a", "b"]),
        (["a\nPage 3 of 9", "b\nPage 4 of 9"], ["a", "b"]),
        (["a\n第 1 页", "b\n第 2 页"], ["a", "b"]),
        (["a\n\n1", "2\n\nb\n2", "c\n3"], ["a", "2\n\nb", "c"]),
        (["a\n1"], ["a"]),
        (["a\n2023"], ["a\n2023"]),
        (["a\n10", "b\n10", "c\n10"], ["a\n10", "b\n10", "c\n10"]),
        (["a\n5", "b", "c", "d", "e"], ["a\n5", "b", "c", "d", "e"]),
        (["", "b"], ["", "b"]),
        (["1", "2", "c\n3"], ["", "", "c"]),
    ],
)
def test_only_lines_that_count_the_pages_are_taken_out(pages, expected):
    assert without_page_numbers(pages) == expected


def test_a_scan_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(DocumentError, match=r"none of its 2 pages has a text layer.*OCR"):
        load_bytes(tmp_path, make_pdf(PICTURE, PICTURE))


def test_single_scanned_pages_are_said(tmp_path):
    skip, document = load_bytes(tmp_path, make_pdf(lines_of_text("text"), PICTURE, ""))

    assert isinstance(skip, Skip)
    assert skip.reason == "pages without text, only pictures: 2"
    assert [section.page for section in document.sections] == [1, 2, 3]


@pytest.mark.parametrize(
    "data", [b"\x8f\x02random" * 40, make_pdf(lines_of_text("text"))[:150], b""]
)
def test_damaged_files_are_refused(tmp_path, data):
    with pytest.raises(DocumentError, match="damaged or no PDF"):
        load_bytes(tmp_path, data)


def test_an_encrypted_file_is_refused(tmp_path):
    owner, user = "00" * 32, "11" * 32
    lock = f"/Encrypt<</Filter/Standard/V 1/R 2/O<{owner}>/U<{user}>/P -4>>/ID[<00><00>]"
    data = make_pdf(lines_of_text("text")).replace(b"/Info 5 0 R", lock.encode())

    with pytest.raises(DocumentError, match="encrypted"):
        load_bytes(tmp_path, data)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Annual report 2023", "Annual report 2023"),
        ("Microsoft Word - report.doc", ""),
        ("report_final.docx", ""),
        ("untitled", ""),
        ("Untitled-2", ""),
        (" \n", ""),
        ("文档1", ""),
        ("政府工作报告", "政府工作报告"),
    ],
)
def test_titles_that_programs_make_up_are_dropped(title, expected):
    assert sensible_title(title) == expected
