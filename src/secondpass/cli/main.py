"""The commands as a person meets them: one app, and one place where errors become exit codes.

0  done
1  something could not be used: an input, a file, an index, a model
2  the command itself was not understood
130  interrupted
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated

import typer

from secondpass.cli import (
    asking,
    benchmarking,
    collection,
    examining,
    indexing,
    mapping,
    mining,
    searching,
    serving,
    training,
)
from secondpass.cli.messages import error_line
from secondpass.errors import SecondpassError

# Loading makes hundreds of thousands of objects that stay: to look through them again for every
# 700 new ones, Python's default, is a tenth of a command's time.
OBJECTS_PER_COLLECTION = 100_000

HELP = """Second-pass ranking: put the right passages on top.

Point it at your documents, then ask:

    secondpass index docs/ report.pdf --index my.index

    secondpass search "What is the plan?" --index my.index

Or rank texts you have, a line each, from a file or a pipe:

    cat passages.txt | secondpass rerank "what is a panda?"

Settings can also come from the environment (SECONDPASS_MODEL=...) and from secondpass.toml.
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


COMMANDS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "index": (
        indexing.index,
        ["secondpass index docs/ report.pdf notes.txt --index my.index"],
    ),
    "search": (
        searching.search,
        [
            'secondpass search "What is the plan?" --index my.index --top-k 3',
            "secondpass search --queries queries.jsonl --index my.index --top-k 50 --run out.run",
        ],
    ),
    "ask": (
        asking.ask,
        ['secondpass ask "What is the plan?" --index my.index --llm http://localhost:8000/v1'],
    ),
    "rerank": (
        searching.rerank,
        [
            'cat passages.txt | secondpass rerank "what is a panda?" --top-k 3',
            'secondpass rerank "what is a panda?" passages.jsonl --format jsonl',
        ],
    ),
    "map": (mapping.draw, ['secondpass map --index my.index --query "the plan?" --out map.html']),
    "info": (collection.info, ["secondpass info --index my.index"]),
    "doctor": (
        examining.doctor,
        ["secondpass doctor", "secondpass doctor --model ./my-cross-encoder --index my.index"],
    ),
    "mcp": (serving.mcp, ["secondpass mcp --index my.index"]),
    "bench": (
        benchmarking.bench,
        [
            "secondpass bench",
            "secondpass bench --vs sentence-transformers,onnxruntime --json speed.json",
        ],
    ),
    "mine": (
        mining.mine,
        ["secondpass mine --pairs train.jsonl --index my.index --out mined.jsonl"],
    ),
    "train": (
        training.train,
        [
            "secondpass train --data mined.jsonl --from mini --out my-model",
            "secondpass train recipe.toml --epochs 3",
        ],
    ),
    "distil": (
        training.distil,
        ["secondpass distil --teacher ./strong --data mined.jsonl --out scored.jsonl"],
    ),
    "delete": (collection.delete, ["secondpass delete docs/old.md --index my.index"]),
    "migrate": (collection.migrate, ["secondpass migrate my.index copy.index"]),
    "export": (collection.export, ["secondpass export ./my-cross-encoder ./my-cross-encoder-int8"]),
}
for name, (command, examples) in COMMANDS.items():
    # the control character keeps click from filling these lines like a paragraph
    app.command(name, epilog="\b\nExamples:\n  " + "\n  ".join(examples))(command)


def main() -> None:
    """Run the command line; errors that secondpass raises on purpose become one line on stderr."""
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not where it was closed or taken over
            stream.reconfigure(errors="backslashreplace")  # a GBK console lacks some of our signs
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        app()
    except SecondpassError as error:
        error_line(str(error))
        sys.exit(1)
    except OSError as error:  # a full disk below standard output, a folder that is gone
        error_line(f"{error.filename or 'output'}: {error.strerror or error}")
        sys.exit(1)
