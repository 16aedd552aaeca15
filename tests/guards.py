"""A pytest plugin with two guards: no test reaches the network, and no skip is silent."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

NEEDS_HOST = "needs the host"  # `make test-hosts` runs it in an environment of that host
NO_PAGE = "got empty parameter set for (page)"  # of the documentation's pages none is of this host


def is_local(host: object) -> bool:
    """Whether a connection to this host stays on the machine."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host is None or host in ("", "localhost"):
        return True
    try:
        return ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse(host: object) -> None:
    if not is_local(host):
        # A BaseException: code under test that catches Exception cannot hide the attempt.
        pytest.fail(f"the test reached for the network host {host!r}; tests run without one")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Fail a test that connects, sends or looks up a name beyond this machine."""
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    look_up = socket.getaddrinfo

    def guarded(name: str):
        def call(self: socket.socket, *args: object) -> object:
            # The address is the last argument of each; for other families it is no host and port.
            if self.family in (socket.AF_INET, socket.AF_INET6):
                refuse(args[-1][0])
            return real[name](self, *args)

        return call

    def guarded_look_up(host, *args, **options):
        refuse(host)
        return look_up(host, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(socket.socket, name, guarded(name))
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where SECONDPASS_NO_SKIPS=1 says that nothing may be missing."""
    if os.environ.get("SECONDPASS_NO_SKIPS") != "1" or not report.skipped:
        return
    if hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return
    path, line, message = report.longrepr
    reason = message.removeprefix("Skipped: ")
    allowed = reason.startswith("needs hardware:") or (
        reason.startswith(NO_PAGE) and os.environ.get("SECONDPASS_HOSTS")
    )
    if not (allowed or is_of_another_environment(path, reason)):
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: skipped where no skip is allowed: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what `make test-hosts` has still to run."""
    skips = [report.longrepr for report in terminalreporter.stats.get("skipped", [])]
    left = {
        Path(skip[0]).name
        for skip in skips
        if isinstance(skip, tuple)
        and is_of_another_environment(skip[0], skip[2].removeprefix("Skipped: "))
    }
    if left:
        terminalreporter.write_line(f"left to `make test-hosts`: {', '.join(sorted(left))}")


def is_of_another_environment(path: str, reason: str) -> bool:
    """Whether a host is absent here, and this is not the environment that was made for it."""
    of_host = Path(path).parent.name == "hosts" and reason.startswith("could not import")
    return (of_host or reason.startswith(NEEDS_HOST)) and not os.environ.get("SECONDPASS_HOSTS")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    forbid_skip(report)
    return report
