"""Runs the documentation: each file's python and console blocks in order, in a folder of their own.

A comment `<!-- not run: why -->` above a block leaves it out. The word `checked` after a block's
language compares what is printed with what the page shows; a text block with it holds the output of
the python block before it. A page whose first line is `<!-- needs: module -->` runs where that module
is installed: in an environment of its host only such pages run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
EXAMPLES = {
    "01_rerank.py": ["what is a panda?", "passages.txt"],
    "02_search_folder.py": ["notes", "When is the reception staffed?", "my.index"],
    "03_markdown_in_chroma.py": ["notes/handbook.md", "When do I get my money back?", "chroma"],
    "04_report_with_more_queries.py": ["report.pdf", "chroma", "the plan", "new stations"],
    "05_speech_in_faiss.py": ["docs/en/first-steps.md", "What is installed?", "speech.index"],
    "06_short_texts.py": ["山.txt", "珠穆朗玛峰有多高？", "lines.index"],
}
TUTORIALS = ROOT.parent / "shared" / "data" / "tutorials"
AWEL = [TUTORIALS / "dbgpt_awel.md", "what is awel talk about", "chroma"]
REPORT = [
    TUTORIALS / "beijing_2024_government_work_report.pdf",
    "chroma",
    "推动北京财政收入增长因素是什么",
    "北京财政收入增长的原因",
    "北京一般公共预算收入为什么增长",
    "北京市财政收入的来源",
    "北京经济增长带来哪些税收",
    "哪些产业推动了北京财政收入",
]
SPEECH = [TUTORIALS / "state_of_the_union.txt", "What is the plan for the economy?", "s.index"]
RUN = {"python", "console"}
SHOWN = {"text", "json", "jsonl", "toml"}
NOT_RUN = "not run:"
NEEDS = "<!-- needs:"
MOST_NOT_RUN = 3
SCREEN = 40  # lines
CHECKED = " checked"


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    checked: bool = False
    comment: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    comment = ""
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            language, checked = token.info.removesuffix(CHECKED), token.info.endswith(CHECKED)
            yield Block(page, token.map[0] + 1, language, token.content, checked, comment)
        html = token.content.strip() if token.type == "html_block" else ""
        comment = html.removeprefix("<!--").removesuffix("-->").strip()


def needed(page: Path) -> list[str]:
    """The modules that the page's first line says it needs."""
    first = page.read_text(encoding="utf-8").partition("\n")[0]
    if not first.startswith(NEEDS):
        return []
    return first.removeprefix(NEEDS).removesuffix("-->").replace(",", " ").split()


def missing(page: Path) -> list[str]:
    """Those of its modules that are absent here; the parent of a submodule must be there to look."""
    return [name for name in needed(page) if find_spec(name.partition(".")[0]) is None]


def pages_to_run() -> list[Path]:
    """All pages; in a host's own environment those that need what is there, but no core page."""
    if not os.environ.get("SECONDPASS_HOSTS"):
        return PAGES
    return [page for page in PAGES if needed(page) and not missing(page)]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


class Python:
    """A Python of its own that runs blocks one after another in one namespace."""

    DRIVER = """
import contextlib, io, json, sys
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    block = json.loads(line)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block["code"], block["page"], "exec"), namespace)
    print(json.dumps(printed.getvalue()), flush=True)
"""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "error", "-c", self.DRIVER]
        # A reader is no CI, where DB-GPT prints more.
        env = {name: value for name, value in os.environ.items() if name != "CI"}
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env
        )

    def run(self, block: Block) -> str:
        """What the block prints. Empty lines before it make a traceback name the page's own line."""
        request = {"code": "\n" * block.line + block.text, "page": str(block.page)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"{block}\n{self.process.stderr.read()}"
        return json.loads(answer)

    def close(self) -> None:
        """End the process; what it had left to say comes up, such as a warning of an open file."""
        _, errors = self.process.communicate(timeout=60)
        assert (self.process.returncode, errors) == (0, "")


@pytest.fixture
def python(workspace: Path) -> Iterator[Python]:
    python = Python()
    yield python
    python.close()


def run_console(block: Block) -> str:
    """What a terminal would show, commands included."""
    shown = []
    for line in block.text.splitlines():
        if not line.startswith("$ "):
            continue
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line.removeprefix("$ ")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{block}: {line}\n{done.stdout}"
        shown += [line, "\n", done.stdout]
    return "".join(shown)


@pytest.mark.parametrize("page", pages_to_run(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run_in_order(page, workspace, python):
    if absent := missing(page):
        pytest.skip(f"needs the host {', '.join(absent)}: make test-hosts")
    output = ""
    for block in blocks_of(page):
        if block.language in RUN and not block.comment.startswith(NOT_RUN):
            output = python.run(block) if block.language == "python" else run_console(block)
            output = output.replace(str(workspace), "/home/you")
        if block.checked:
            assert output == block.text, str(block)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name, workspace):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *EXAMPLES[name]],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 3


@pytest.mark.skipif(not TUTORIALS.is_dir(), reason="needs the tutorials' documents")
@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("03_markdown_in_chroma.py", AWEL, r"reranked:\n.*AWEL"),
        (
            "04_report_with_more_queries.py",
            REPORT,
            r"6 queries found \d+ passages(.|\n)*预算收入增长",
        ),
        (
            "05_speech_in_faiss.py",
            SPEECH,
            r"1\. .*\n   So that’s my plan\. It will grow the economy",
        ),
    ],
)
def test_an_example_answers_the_tutorials_question(name, arguments, answer, workspace):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(answer, done.stdout), done.stdout


def test_each_example_is_run_and_short():
    sources = sorted((ROOT / "examples").glob("*.py"))

    assert [source.name for source in sources] == sorted(EXAMPLES)
    for source in sources:
        assert len(source.read_text(encoding="utf-8").splitlines()) < 60, source


def test_each_block_is_of_a_language_that_is_run_or_known_not_to_be():
    unknown = [
        f"{block}: '{block.language}'" for block in BLOCKS if block.language not in RUN | SHOWN
    ]

    assert not unknown


def test_each_console_block_has_a_command_and_each_file_a_block():
    empty = [
        str(block)
        for block in BLOCKS
        if block.language == "console" and not block.text.startswith("$ ")
    ]

    assert not empty
    assert {block.page for block in BLOCKS} == set(PAGES)


def test_what_is_not_run_is_little_and_says_why():
    left_out = [block for block in BLOCKS if block.comment.startswith(NOT_RUN)]

    assert len(left_out) <= MOST_NOT_RUN, [str(block) for block in left_out]
    for block in left_out:
        assert block.language in RUN, f"{block}: '{block.language}' is never run"
        assert len(block.comment) > len(NOT_RUN) + 10, f"{block}: give a reason"


def test_a_guest_has_a_page_of_one_screen():
    pages = [page for page in PAGES if page.parent.name == "guests"]

    assert pages
    for page in pages:
        assert len(page.read_text(encoding="utf-8").splitlines()) <= SCREEN, page


def test_each_comment_above_a_block_is_understood():
    comments = {block.comment for block in BLOCKS if block.language in RUN}

    assert all(comment == "" or comment.startswith(NOT_RUN) for comment in comments), comments


def test_a_failing_command_fails(tmp_path):
    block = Block(ROOT / "README.md", 1, "console", "$ false | cat\n")

    with pytest.raises(AssertionError, match=r"README\.md:1"):
        run_console(block)
