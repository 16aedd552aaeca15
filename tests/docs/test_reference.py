"""The pages say what the code says: options, settings, JSON, errors; and both languages say the same."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from typer.main import get_command

from secondpass import errors
from secondpass.cli import app
from secondpass.cli.answers import answer_object, ranked_object
from secondpass.cli.inputs import GivenText
from secondpass.engine import Encoding, Limits
from secondpass.ingest import Splitting
from secondpass.ingest.load import LOADERS
from secondpass.pipeline import Answer
from secondpass.settings import Settings
from secondpass.types import Candidate, Hit, Passage, Ranked

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ENGLISH = sorted(path.relative_to(DOCS / "en").as_posix() for path in DOCS.glob("en/**/*.md"))
COMMANDS = get_command(app).commands

languages = pytest.mark.parametrize("language", ["en", "zh"])


def read(language: str, page: str) -> str:
    return (DOCS / language / page).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under the `##` heading that begins with these words."""
    _, found, rest = text.partition(f"\n## {heading}")
    assert found, f"no heading '{heading}'"
    return re.split(r"\n## ", rest)[0]


def rows(text: str, columns: int) -> list[list[str]]:
    """The cells of all table rows with so many columns."""
    lines = (line for line in text.splitlines() if line.startswith("|"))
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [row for row in cells if len(row) == columns]


def fences(text: str, language: str) -> list[str]:
    tokens = MarkdownIt("commonmark").parse(text)
    return [
        token.content
        for token in tokens
        if token.type == "fence" and token.info.split()[0] == language
    ]


def outline(text: str) -> list[str]:
    """The levels of the headings, the languages of the blocks and the shapes of the tables."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    shown = {"heading_open", "fence", "table_open", "tr_open"}
    return [f"{token.type} {token.tag} {token.info}" for token in tokens if token.type in shown]


def test_both_languages_have_the_same_pages():
    chinese = sorted(path.relative_to(DOCS / "zh").as_posix() for path in DOCS.glob("zh/**/*.md"))

    assert chinese == ENGLISH


@pytest.mark.parametrize("page", ENGLISH)
def test_both_languages_have_the_same_outline(page):
    assert outline(read("zh", page)) == outline(read("en", page))


@languages
@pytest.mark.parametrize("page", ENGLISH)
def test_links_lead_somewhere(language, page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", read(language, page)):
        assert (DOCS / language / page).parent.joinpath(target).exists(), target


@languages
@pytest.mark.parametrize("name", COMMANDS)
def test_the_section_of_a_command_names_its_options_and_no_others(language, name):
    text = section(read(language, "command-line.md"), f"secondpass {name}")
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    known = {option for option in options if option.startswith("-")}
    tables = [row[0] for row in rows(text, 2)]
    listed = set(re.findall(r"`(--?[a-z][a-z-]*)`", " ".join(tables)))

    assert listed == known


@languages
def test_every_option_that_a_page_mentions_exists(language):
    parameters = [parameter for one in COMMANDS.values() for parameter in one.params]
    known = {option for parameter in parameters for option in parameter.opts}
    known |= {"--help", "--version", "--install-completion"}
    text = " ".join(read(language, page) for page in ENGLISH)

    assert set(re.findall(r"`(--[a-z][a-z-]*)", text)) <= known


def shown(default: object) -> str:
    """A default as the table has it."""
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


@languages
def test_the_table_of_settings_is_that_of_the_code(language):
    text = read(language, "command-line.md").rpartition("```toml")[2]
    table = [(row[0], row[1] if row[1].startswith("`") else "") for row in rows(text, 4)[2:]]

    fields = dataclasses.fields(Settings)
    assert table == [(f"`{field.name}`", shown(field.default)) for field in fields]


@languages
@pytest.mark.parametrize("kind", [Limits, Encoding, Splitting])
def test_the_tables_of_fields_are_those_of_the_code(language, kind):
    found = [row[0] for row in rows(read(language, "python.md"), 3)]
    names = [f"`{field.name}`" for field in dataclasses.fields(kind)]
    start = found.index(names[0])

    assert found[start : start + len(names)] == names


@languages
@pytest.mark.parametrize("kind", [Ranked, Hit])
def test_the_tables_of_answers_name_every_field(language, kind):
    cells = " ".join(row[0] for row in rows(read(language, "python.md"), 2))

    for field in dataclasses.fields(kind):
        assert f"`{field.name}`" in cells, field.name


@languages
def test_every_file_ending_is_listed(language):
    cells = " ".join(row[0] for row in rows(read(language, "command-line.md"), 2))

    assert set(re.findall(r"`(\.[a-z]+)`", cells)) == set(LOADERS)


@languages
def test_every_error_is_listed(language):
    found = re.findall(r"[├└]── (\w+)", read(language, "python.md"))
    classes = [one for one in vars(errors).values() if isinstance(one, type)]

    assert set(found) == {
        one.__name__ for one in classes if issubclass(one, errors.SecondpassError)
    } - {"SecondpassError"}


def keys(value: object) -> object:
    """The keys of JSON objects, however nested, in order."""
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in value.items()}
    inside = value if isinstance(value, list) else []
    return [keys(inner) for inner in inside if isinstance(inner, dict)]


@languages
def test_the_json_shown_has_the_keys_of_what_is_printed(language):
    text = read(language, "command-line.md")
    passage = Passage("p", "text", "document")
    line = Ranked(0, 1.0, 0.7)
    hit = Hit(1, 1.0, 0.7, 1.0, Candidate(passage, 2.0, 1), line)
    times = {"retrieve": 1.0, "rerank": 1.0, "total": 1.0}

    (answer,) = fences(text, "json")
    assert keys(json.loads(answer)) == keys(answer_object(Answer("query", [hit], times, 1)))
    (ranked,) = fences(text, "jsonl")
    assert keys(json.loads(ranked)) == keys(ranked_object(1, line, GivenText(0, "text", "id")))


@languages
def test_the_settings_file_shown_is_understood(language, tmp_path):
    (shown,) = fences(read(language, "command-line.md"), "toml")
    file = tmp_path / "secondpass.toml"
    file.write_text(shown, encoding="utf-8")

    assert dataclasses.asdict(Settings.read({}, {}, file)).items() >= tomllib.loads(shown).items()
