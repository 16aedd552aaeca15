"""The commands as a person meets them: one app, and one place where errors become exit codes.

0  done
1  something could not be used: an input, a file, an index, a model
2  the command itself was not understood
130  interrupted
"""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from secondpass.cli import collection, searching
from secondpass.cli.console import error_line
from secondpass.errors import SecondpassError

HELP = """Second-pass ranking: put the right passages on top.

Point it at your documents, then ask:

    secondpass index docs/ report.pdf --index my.index

    secondpass search "What is the plan?" --index my.index

Or rank texts you have, a line each, from a file or a pipe:

    cat passages.txt | secondpass rerank "what is a panda?"

Every option can also be set in the environment (SECONDPASS_MODEL=...) or in secondpass.toml.
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        from importlib.metadata import version

        typer.echo(f"secondpass {version('secondpass')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hold what all commands share."""


app.command("index")(collection.index)
app.command("search")(searching.search)
app.command("rerank")(searching.rerank)
app.command("info")(collection.info)
app.command("delete")(collection.delete)
app.command("export")(collection.export)


def main() -> None:
    """Run the command line; errors that secondpass raises on purpose become one line on stderr."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        app()
    except SecondpassError as error:
        error_line(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        error_line("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output has left, as `head` does; there is nobody to tell
        sys.stderr.close()
        sys.exit(0)
