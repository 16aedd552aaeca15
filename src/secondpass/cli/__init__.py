"""The command line: reads flags, prints answers, turns errors into exit codes."""

from secondpass.cli.main import app, main

__all__ = ["app", "main"]
