"""The guards do guard."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

GUARDS = Path(__file__).with_name("guards.py")


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80)])
def test_a_connection_beyond_this_machine_fails_the_test(address):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as client, pytest.raises(pytest.fail.Exception, match="network"):
        client.connect(address)


def test_a_name_beyond_this_machine_is_not_looked_up():
    with pytest.raises(pytest.fail.Exception, match=r"example\.com"):
        socket.create_connection(("example.com", 80))


def test_loopback_stays_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("localhost", port)) as client:
            connection, _ = server.accept()
            with connection:
                client.sendall(b"here")
                assert connection.recv(4) == b"here"


SKIPPING = """
import pytest

@pytest.fixture
def part():
    pytest.skip("a part is missing")

def test_that_calls_skip():
    pytest.skip("a part is missing")

def test_with_a_part(part):
    pass

@pytest.mark.skip(reason="a part is missing")
def test_with_a_mark():
    pass

@pytest.mark.skip(reason="needs hardware: a GPU")
def test_of_hardware():
    pass

@pytest.mark.skip(reason="needs the host langchain_core")
def test_of_a_host():
    pass

@pytest.mark.xfail
def test_that_fails_as_expected():
    raise ValueError
"""


def run_skipping_tests(pytester):
    """Run the tests above under the guards, in a process of their own."""
    pytester.makeconftest(GUARDS.read_text(encoding="utf-8"))
    pytester.makepyfile(
        test_parts=SKIPPING,
        test_module="import pytest\npytest.importorskip('no_such_module')",
    )
    return pytester.runpytest_subprocess("--continue-on-collection-errors")


def test_no_skips_turns_each_kind_of_skip_into_a_failure(pytester, monkeypatch):
    monkeypatch.setenv("SECONDPASS_NO_SKIPS", "1")
    result = run_skipping_tests(pytester)
    # A skip before the test's own lines counts as an error: fixture, mark, module.
    result.assert_outcomes(failed=1, errors=3, skipped=2, xfailed=1)
    result.stdout.fnmatch_lines(["*skipped where no skip is allowed: a part is missing*"])


def test_a_host_that_is_absent_from_its_own_environment_is_a_failure(pytester, monkeypatch):
    monkeypatch.setenv("SECONDPASS_NO_SKIPS", "1")
    monkeypatch.setenv("SECONDPASS_HOSTS", "langchain")
    run_skipping_tests(pytester).assert_outcomes(failed=1, errors=4, skipped=1, xfailed=1)


@pytest.mark.parametrize(("group", "outcome"), [("flag-embedding", "skipped"), ("", "errors")])
def test_only_the_environment_of_a_host_may_have_no_page(group, outcome, pytester, monkeypatch):
    monkeypatch.setenv("SECONDPASS_NO_SKIPS", "1")
    monkeypatch.setenv("SECONDPASS_HOSTS", group)
    pytester.makeconftest(GUARDS.read_text(encoding="utf-8"))
    pytester.makepyfile(
        "import pytest\n@pytest.mark.parametrize('page', [])\ndef test_page(page): pass"
    )

    pytester.runpytest_subprocess().assert_outcomes(**{outcome: 1})


def test_skips_stay_skips_where_nothing_forbids_them(pytester, monkeypatch):
    monkeypatch.delenv("SECONDPASS_NO_SKIPS", raising=False)
    result = run_skipping_tests(pytester)
    result.assert_outcomes(skipped=6, xfailed=1)
    result.stdout.fnmatch_lines(["left to `make test-hosts`: test_parts.py"])
