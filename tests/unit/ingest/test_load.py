from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from secondpass.errors import DocumentError, InvalidInput
from secondpass.ingest.load import LOADERS, load
from secondpass.ingest.outcome import Failure, Skip


def write(folder, **files):
    """Files by name; `__` stands for a folder's slash, a first `_` for the dot of a hidden name."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__"))
        path = path.with_name(path.name.replace("_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(documents):
    return [Path(document.path).name for document in documents]


def test_a_folder_is_walked_in_sorted_order_without_hidden_files(tmp_path):
    write(tmp_path, b_txt="b", a_md="a", z__c_txt="c", k__d_txt="d", _hidden_txt="h")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config.txt").write_text("h")
    (tmp_path / "~$b.docx").write_text("lock")

    assert names(load(tmp_path)) == ["a.md", "b.txt", "d.txt", "c.txt"]


def test_paths_may_be_one_or_several_and_ids_are_absolute(tmp_path, monkeypatch):
    write(tmp_path, a_txt="a", b_txt="b")
    monkeypatch.chdir(tmp_path)

    assert names(load("a.txt")) == ["a.txt"]
    assert names(load([Path("b.txt"), "a.txt"])) == ["b.txt", "a.txt"]
    assert [document.id for document in load("./x/../a.txt")] == [(tmp_path / "a.txt").as_posix()]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*", ["a.md", "b.txt", "c.md", "e.md"]),
        ("*.md", ["a.md"]),
        ("**/*.md", ["a.md", "c.md", "e.md"]),
        ("s/**", ["c.md", "e.md"]),
        ("s/*/*.md", ["e.md"]),
        ("[b-z].*", ["b.txt"]),
        ("**/s/**/?.md", ["c.md", "e.md"]),
    ],
)
def test_the_pattern_is_matched_within_the_folder(tmp_path, pattern, expected):
    write(tmp_path, a_md="a", b_txt="b", s__c_md="c", s__d__e_md="e")

    assert names(load(tmp_path, pattern=pattern)) == expected


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    write(tmp_path, a_txt="a", b_txt="b")
    documents = load(tmp_path)

    first = next(documents)
    (tmp_path / "b.txt").write_text("changed")

    assert (first.text, next(documents).text) == ("a", "changed")


def test_a_missing_path_raises_at_the_call(tmp_path):
    write(tmp_path, a_txt="a")

    with pytest.raises(DocumentError, match=r"missing\.txt' does not exist"):
        load([tmp_path, tmp_path / "missing.txt"])


@pytest.mark.parametrize("paths", ["", [], ["a.txt", ""]])
def test_no_path_is_refused(paths):
    with pytest.raises(InvalidInput, match="names nothing"):
        load(paths)


def test_a_folder_without_a_file_to_load_lists_the_endings(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"x")

    with pytest.raises(DocumentError, match=r"\(1 left out\); supported endings") as raised:
        load(tmp_path)

    assert all(ending in str(raised.value) for ending in LOADERS)


def test_an_unknown_ending_is_skipped_in_a_folder_and_text_by_name(tmp_path):
    write(tmp_path, a_txt="a", b_cfg="b", Makefile="c")
    skips = []

    assert names(load(tmp_path, on_skip=skips.append)) == ["a.txt"]
    assert [Path(skip.path).name for skip in skips] == ["Makefile", "b.cfg"]
    assert names(load([tmp_path / "b.cfg", tmp_path / "Makefile"])) == ["b.cfg", "Makefile"]


def test_a_binary_file_by_name_is_a_failure(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF\x00")

    with pytest.raises(DocumentError, match="1 could not be loaded"):
        list(load(path))


def test_failures_do_not_stop_the_rest_and_all_are_listed_at_the_end(tmp_path):
    write(tmp_path, a_txt="a", c_txt="c", d_txt="d")
    (tmp_path / "b.txt").write_bytes(b"\x00")
    (tmp_path / "e.pdf").write_bytes(b"no pdf")
    documents = load(tmp_path)
    found = [next(documents)]
    (tmp_path / "c.txt").unlink()
    found.append(next(documents))

    with pytest.raises(DocumentError, match="3 could not be loaded") as raised:
        next(documents)

    assert names(found) == ["a.txt", "d.txt"]
    assert all(name in str(raised.value) for name in ("b.txt", "c.txt", "e.pdf"))
    assert "no such file" in str(raised.value)


def test_failures_go_to_the_callback(tmp_path):
    write(tmp_path, a_txt="a")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9 is latin")
    failures = []

    assert names(load(tmp_path, on_failure=failures.append)) == ["a.txt"]
    assert [failure.path for failure in failures] == [(tmp_path / "b.txt").as_posix()]
    assert isinstance(failures[0], Failure)
    assert "byte 0xe9 at offset 3 is not UTF-8" in failures[0].reason


def test_a_file_without_permission_is_a_failure(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    write(tmp_path, a_txt="a")
    # By hand, because a mode of 0 does not keep a superuser out.
    monkeypatch.setattr(Path, "read_bytes", refuse)

    with pytest.raises(DocumentError, match=r"a\.txt' cannot be loaded: permission denied"):
        list(load(tmp_path))


def test_blank_files_are_skips_and_logged_without_a_callback(tmp_path, caplog):
    write(tmp_path, a_txt=" \n", b_txt="b")
    skips = []

    with caplog.at_level(logging.INFO, logger="secondpass.ingest.load"):
        assert names(load(tmp_path)) == ["b.txt"]
    list(load(tmp_path, on_skip=skips.append))

    path = (tmp_path / "a.txt").as_posix()
    assert skips == [Skip(path, "it is blank", path)]
    assert caplog.messages == [f"'{path}' is skipped: it is blank"]


def test_a_large_file_is_refused_but_json_lines_are_streamed(tmp_path):
    write(tmp_path, a_txt="x" * 2000, b_jsonl='{"id": "r", "text": "' + "x" * 2000 + '"}')
    failures = []

    documents = list(load(tmp_path, max_file_mb=0.001, on_failure=failures.append))

    assert [document.id for document in documents] == ["r"]
    assert "--max-file-mb 1" in failures[0].reason
    with pytest.raises(InvalidInput, match="max_file_mb=0"):
        load(tmp_path, max_file_mb=0)


def test_a_file_named_twice_is_loaded_once(tmp_path):
    write(tmp_path, a_txt="a")
    skips = []

    assert names(load([tmp_path, tmp_path / "a.txt"], on_skip=skips.append)) == ["a.txt"]
    assert [skip.reason for skip in skips] == ["it was named before"]


def test_links_in_a_circle_come_to_an_end(tmp_path):
    write(tmp_path, s__a_txt="a")
    (tmp_path / "s" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    failures = []

    assert names(load(tmp_path, on_failure=failures.append)) == ["a.txt"]
    assert [Path(failure.path).name for failure in failures] == ["gone.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_does_not_block(tmp_path):
    write(tmp_path, a_txt="a")
    os.mkfifo(tmp_path / "pipe.txt")
    skips = []

    assert names(load(tmp_path, on_skip=skips.append)) == ["a.txt"]
    assert [skip.reason for skip in skips] == ["it is no regular file"]
    with pytest.raises(DocumentError, match="neither a file nor a folder"):
        load(tmp_path / "pipe.txt")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_a_file_name_that_is_no_text_is_a_failure_and_the_rest_is_loaded(tmp_path):
    (tmp_path / "good.txt").write_text("good")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.txt")).write_text("bad")
    failures = []

    documents = list(load(tmp_path, on_failure=failures.append))

    assert [document.text for document in documents] == ["good"]
    assert "not valid UTF-8" in failures[0].reason
    failures[0].path.encode()
