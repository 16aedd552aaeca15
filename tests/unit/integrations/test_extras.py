"""Extras by the installation's own metadata, each guest imported in a process of its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from secondpass.integrations import extras

ROOT = Path(__file__).resolve().parents[3]


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"]) - {"dev", "test"}


def test_every_extra_is_either_installed_or_listed_as_absent():
    findings = {finding.subject: finding for finding in extras.extras()}

    absent = findings.pop("not installed", None)
    listed = set() if absent is None else set(absent.found.split(", "))
    assert set(findings) | listed == declared()
    assert not set(findings) & listed
    assert findings["sentence-transformers"].found.startswith("sentence-transformers ")
    assert not any(finding.amiss for finding in findings.values())


def test_an_absent_extra_comes_with_the_install_line():
    found = list(extras._findings({"cohere": ["no-such-package"], "other": ["none-either"]}))

    (finding,) = found
    assert finding.found == "cohere, other"
    assert finding.advice == "pip install 'secondpass[NAME]' adds one"
    assert not finding.amiss


def test_a_guest_that_cannot_be_imported_is_amiss(monkeypatch):
    monkeypatch.setattr(extras, "_import_trouble", lambda module: f"ImportError: {module} is old")

    (finding,) = extras._findings({"two-words": ["numpy"]})

    assert finding.amiss
    assert finding.found.endswith("ImportError: secondpass.integrations.two_words is old")
    assert finding.advice == "pip install --upgrade 'secondpass[two-words]'"


def test_what_an_import_says_at_its_end_is_the_trouble(tmp_path, monkeypatch):
    (tmp_path / "broken_guest.py").write_text("print('out')\nimport no_such_host\n")
    (tmp_path / "ending_guest.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert extras._import_trouble("secondpass.integrations.loading") == ""
    assert extras._import_trouble("no_guest_of_this_name") == ""
    assert extras._import_trouble("broken_guest").endswith("No module named 'no_such_host'")
    assert extras._import_trouble("ending_guest") == "importing it ended with 3"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('mcp<3,>=2.0; extra == "mcp"', ("mcp", "mcp")),
        ("python-docx>=1.1; extra == 'docx'", ("python-docx", "docx")),
        ('a[b]>=1; python_version < "3.12" and extra == "two-words"', ("a", "two-words")),
        ("numpy>=2.1", None),
        ('x>=1; sys_platform == "linux"', None),
    ],
)
def test_requirements_are_read_as_they_are_written(line, wanted):
    match = extras.REQUIREMENT.match(line)

    assert (match and match.groups()) == wanted
