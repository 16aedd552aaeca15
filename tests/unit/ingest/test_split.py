from __future__ import annotations

import re

import pytest

from secondpass.errors import InvalidInput, UnknownName
from secondpass.ingest import Splitting, load, split, unwrap
from secondpass.ingest.packing import estimate_tokens
from secondpass.types import Document, Section

SENTENCES = [f"This is the sentence of number {number} here." for number in range(60)]


def texts(document, **options):
    return [passage.text for passage in split([document], Splitting(**options))]


def test_a_passage_carries_what_its_document_knows():
    text = "# A\n\nfirst\n\n## B\n\nsecond"
    sections = (Section(0, 12, headings=("A",)), Section(12, 24, headings=("A", "B")))
    document = Document("d", text, "T", "/d.md", sections, {"year": 2024})

    first, second = split([document])

    assert (first.id, first.start, first.end, first.headings) == ("d#0", 0, 10, ("A",))
    assert (second.id, second.text, second.headings) == ("d#1", "## B\n\nsecond", ("A", "B"))
    assert (second.document, second.title, second.path) == ("d", "T", "/d.md")
    assert second.metadata == {"year": 2024}


def test_blank_documents_give_nothing_and_numbers_start_anew():
    documents = [
        Document("a", "one"),
        Document("b", " \n"),
        Document("c", ""),
        Document("d", "two"),
    ]

    assert [passage.id for passage in split(documents)] == ["a#0", "d#0"]


def test_auto_keeps_a_short_document_whole_and_cuts_a_long_one():
    short = Document("d", " ".join(SENTENCES[:12]))
    long = Document("d", " ".join(SENTENCES))

    assert texts(short, size=50) == [short.text]
    assert len(texts(short, size=50, keep_whole=0)) == 3
    assert texts(long, size=200, keep_whole=10_000) == [long.text]
    assert texts(long, size=100) == texts(long, size=100, by="size")


def test_auto_does_not_lose_the_page_of_a_short_document():
    document = Document("d", "one\ntwo", sections=(Section(0, 3, page=1), Section(4, 7, page=2)))

    (passage,) = split([document])

    assert (passage.text, passage.page) == ("one\ntwo", 1)


def test_by_page_stays_within_a_page_and_by_size_goes_across():
    document = Document(
        "d", "A sentence runs\nover the page.", sections=(Section(0, 15, 1), Section(16, 30, 2))
    )

    pages = list(split([document], Splitting(by="page")))

    assert [(one.text, one.page) for one in pages] == [
        ("A sentence runs", 1),
        ("over the page.", 2),
    ]
    assert texts(document, by="size") == ["A sentence runs\nover the page."]


def test_by_size_cuts_before_a_heading_if_it_can():
    text = "# A\n\none two three four five.\n\n# B\n\nsix seven eight nine ten. Eleven twelve."
    document = Document(
        "d",
        text,
        sections=(Section(0, 31, headings=("A",)), Section(31, len(text), headings=("B",))),
    )

    assert texts(document, by="size", size=14)[1].startswith("# B")


def test_by_paragraph_joins_only_tiny_ones():
    document = Document(
        "d", "Title\n\n" + " ".join(SENTENCES[:3]) + "\n\n" + " ".join(SENTENCES[3:6])
    )

    found = texts(document, by="paragraph", size=60)

    assert found == ["Title\n\n" + " ".join(SENTENCES[:3]), " ".join(SENTENCES[3:6])]


def test_a_line_is_a_paragraph_where_no_line_is_blank():
    document = Document("d", "\n".join(SENTENCES[:4]) + "\n")

    assert texts(document, by="paragraph", size=12) == SENTENCES[:4]


def test_by_separator_leaves_the_separator_out():
    document = Document("d", "one\n---\n two \n---\n\n---\nthree")

    assert texts(document, by="separator", separator="---") == ["one", "two", "three"]


@pytest.mark.parametrize("by", ["header", "page", "paragraph", "separator"])
def test_what_is_larger_than_the_size_is_cut_in_every_strategy(by):
    text = " ".join(SENTENCES)
    document = Document("d", text, sections=(Section(0, len(text), page=1, headings=("A",)),))

    found = texts(document, by=by, size=50)

    assert all(25 < estimate_tokens(piece) <= 50 for piece in found[:-1])
    assert " ".join(found) == text


def test_text_outside_of_the_sections_is_in_no_passage():
    document = Document("d", "front one middle two", sections=(Section(6, 9), Section(17, 20)))

    assert texts(document) == ["one", "two"]
    assert texts(document, by="paragraph") == ["one", "two"]


def test_a_model_s_own_tokens_are_counted():
    def words(text):
        return [found.span() for found in re.finditer(r"\S+", text)]

    document = Document("d", " ".join(SENTENCES))
    found = [one.text for one in split([document], Splitting(by="size", size=16), words)]

    assert found[0] == " ".join(SENTENCES[:2])
    assert len(found) == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "pages"}, "choose from auto, header, page, paragraph, separator, size"),
        ({"unit": "words"}, "unknown unit 'words'; choose from chars, tokens"),
        ({"size": 0}, "size=0 is below 8"),
        ({"size": 50, "overlap": 50}, "overlap=50 is not between 0 and size=50"),
        ({"overlap": -1}, "overlap=-1"),
        ({"separator": ""}, "separator=''"),
        ({"keep_whole": -1}, "keep_whole=-1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        Splitting(**options)


def test_an_unknown_strategy_is_an_unknown_name():
    with pytest.raises(UnknownName):
        Splitting(by="semantic")


def test_a_single_document_is_refused_at_the_call():
    with pytest.raises(InvalidInput, match="single Document"):
        split(Document("d", "text"))


@pytest.mark.parametrize("ending", ["txt", "pdf"])
def test_a_wrapped_chinese_report_is_cut_at_sentences(shared_data, ending):
    (document,) = load(shared_data / "tutorials" / f"beijing_2024_government_work_report.{ending}")

    passages = list(split([document]))

    whole = [passage for passage in passages if passage.text.endswith(tuple("。！？；："))]
    fact = "地区生产总值增长5.2%、约4.4万亿元"
    assert len(whole) >= 0.9 * len(passages)
    assert sum(fact in re.sub(r"\s", "", passage.text) for passage in passages) == 1
    assert all(one.text == unwrap(document.text, one.start, one.end) for one in passages)
