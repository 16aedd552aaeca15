from __future__ import annotations

import pytest

from secondpass.errors import DocumentError
from secondpass.ingest.html import load_html


def load_one(tmp_path, html):
    path = tmp_path / "page.html"
    path.write_bytes(html if isinstance(html, bytes) else html.encode())
    (document,) = load_html(path)
    return document


def test_blocks_break_lines_and_inline_elements_do_not(tmp_path):
    document = load_one(
        tmp_path, "<p>One <b>bo</b>ld\n  word.</p><p>Two<br>three</p><div>four</div><div>five</div>"
    )

    assert document.text == "One bold word.\n\nTwo\nthree\n\nfour\nfive"


def test_what_a_reader_does_not_see_is_dropped(tmp_path):
    html = (
        "<head><title>T</title><style>p{}</style></head><body><nav>menu</nav><script>x()</script>"
        "<template><p>t</p></template><noscript>n</noscript><!-- c --><p>seen</p></body>"
    )

    document = load_one(tmp_path, html)

    assert (document.text, document.title) == ("seen", "T")


def test_entities_are_decoded(tmp_path):
    document = load_one(tmp_path, "<title>A &amp; B</title><p>x &lt; y&nbsp;&#20013;&hellip;</p>")

    assert (document.text, document.title) == ("x < y 中…", "A & B")


def test_headings_make_sections_with_true_offsets(tmp_path):
    html = "<p>before</p><h1>Big <a href='x'>one</a></h1><p>first</p><h2>Small</h2><p>second</p>"

    document = load_one(tmp_path, html)

    found = [(one.headings, document.text[one.start : one.end]) for one in document.sections]
    assert found == [
        ((), "before\n\n"),
        (("Big one",), "Big one\n\nfirst\n\n"),
        (("Big one", "Small"), "Small\n\nsecond"),
    ]
    assert document.title == "Big one"


def test_a_table_is_a_line_a_row_with_tabs_between_cells(tmp_path):
    html = (
        "<table><tr><th>a</th><th>b</th></tr><tr><td><p>1</p><p>2</p></td><td>3</td></tr></table>"
    )

    assert load_one(tmp_path, html).text == "a\tb\n1 2\t3"


def test_preformatted_text_keeps_its_white_space(tmp_path):
    assert load_one(tmp_path, "<p>x</p><pre>a\n  b</pre><p>y</p>").text == "x\n\na\n  b\n\ny"


@pytest.mark.parametrize("charset", ["gb2312", "GBK", "big5", "shift_jis", "euc-jp"])
def test_the_declared_charset_is_used(tmp_path, charset):
    html = f"<meta charset='{charset}'><p>文字一二三</p>".encode(charset)

    assert load_one(tmp_path, html).text == "文字一二三"


def test_latin1_is_read_as_browsers_do(tmp_path):
    html = b"<meta http-equiv=content-type content='text/html; charset=iso-8859-1'><p>\x93caf\xe9\x94</p>"

    assert load_one(tmp_path, html).text == "“café”"


def test_a_wrong_or_unknown_declaration_falls_back(tmp_path):
    assert load_one(tmp_path, "<meta charset=nonsense><p>中文</p>").text == "中文"
    assert (
        load_one(tmp_path, b"<meta charset=utf-8>" + "<p>中文的内容</p>".encode("gbk")).text
        == "中文的内容"
    )


def test_binary_is_refused(tmp_path):
    with pytest.raises(DocumentError, match="binary"):
        load_one(tmp_path, b"<meta charset=latin1>\x00\x01")


def test_depth_is_no_danger(tmp_path):
    assert load_one(tmp_path, "<div>" * 5000 + "deep" + "</div>" * 5000).text == "deep"
