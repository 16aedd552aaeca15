"""`secondpass doctor`, as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from secondpass.build import examined
from secondpass.cli.examining import machine
from secondpass.settings import Settings


def doctor(*arguments: object, cwd, **environment) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if "SECONDPASS" not in name}
    return subprocess.run(
        [sys.executable, "-c", "from secondpass.cli import main; main()", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        check=False,
        env=plain | environment,
    )


def test_all_is_well_with_the_bundled_model(tmp_path):
    done = doctor(cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nall is well\n")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line and line[0] != " "][:-1] == [
        "installation",
        "machine",
        "model 'mini'",
        "index 'secondpass.index'",
    ]
    assert "note   index          none there" in done.stdout
    assert "→ `secondpass index FILES` makes one" in done.stdout
    assert sum("ok " in line for line in lines) >= 8


def test_what_is_amiss_has_advice_and_an_exit_code(tmp_path, own_checkpoint):
    folder = own_checkpoint()
    (folder / "tokenizer.json").unlink()
    (tmp_path / "no.index").write_text("not an index")

    done = doctor(
        "--model", folder, "--index", "no.index", "--json", cwd=tmp_path, SECONDPASS_TOPK="3"
    )

    assert (done.returncode, done.stderr) == (1, "")
    sections = json.loads(done.stdout)
    amiss = [one for section in sections.values() for one in section if one["amiss"]]
    assert [one["subject"] for one in amiss] == ["tokenizer", "index"]
    assert all(one["advice"] for one in amiss)
    notes = {one["subject"]: one for one in sections["installation"]}
    assert notes["SECONDPASS_TOPK"]["found"] == "set, but no setting"


@pytest.mark.parametrize(
    ("model", "said"),
    [("no/where", "not in the local cache"), ("./none", "is no folder and no bundled model")],
)
def test_a_model_that_is_nowhere_is_amiss(model, said):
    [finding] = examined(Settings(model=model, offline=True))

    assert finding.amiss
    assert said in finding.found
    assert finding.advice


def test_the_kernels_are_those_that_compute(tmp_path):
    native = pytest.importorskip("secondpass._native")

    found = {finding.subject: finding.found for finding in machine(Settings())}
    assert found["instructions"].startswith(f"{native.kernel_names()[0]}; the processor has ")
    found = {one.subject: one for one in machine(Settings(instruction_set="portable"))}
    assert "a newer processor" in found["instructions"].advice
