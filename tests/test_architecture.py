"""The rules of the house, checked on the syntax trees. Layers are import-linter's (`make lint`).

Each rule is a function from a source file to the complaints about it; a complaint says how to mend
what it found. At the end each rule is shown a source that breaks it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "secondpass"

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 6
FOLDERS = 2
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
# build.py turns the environment into parts; the layers above and below it are handed the parts.
READS_ENVIRONMENT = {"build.py"}
SUBMODULES = {path.stem for path in PACKAGE.iterdir()} - {"__init__"}
ROOT_HOOKS = {"__getattr__", "__dir__"}

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef
Definition = AnyFunction | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Source:
    path: PurePosixPath  # within the package
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, file: Path, package: Path) -> Source:
        text = file.read_text(encoding="utf-8")
        return cls(PurePosixPath(file.relative_to(package)), text, ast.parse(text))

    def functions(self) -> Iterator[AnyFunction]:
        return (node for node in ast.walk(self.tree) if isinstance(node, AnyFunction))


Rule = Callable[[Source], Iterator[str]]


def contract_methods() -> set[str]:
    tree = ast.parse((PACKAGE / "protocols.py").read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name for each in classes for node in each.body if isinstance(node, AnyFunction)}


CONTRACT_METHODS = contract_methods()


def dotted(node: ast.expr) -> str:
    """`os.environ` for an attribute, "" for anything that is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def imported(node: ast.AST) -> list[str]:
    """What a statement imports: `a.b` for `import a.b`, `a.b` and `a` for `from a import b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def file_is_short(source: Source) -> Iterator[str]:
    if (lines := len(source.text.splitlines())) > FILE_LINES:
        yield f"{lines} lines, at most {FILE_LINES}: move one noun of it into a file of its own"


def file_name_is_a_noun(source: Source) -> Iterator[str]:
    for part in (*source.path.parent.parts, source.path.stem):
        if part.strip("_") in VAGUE_NAMES:
            yield f"'{part}' says nothing: name the file after the noun or stage that it holds"


def folders_are_shallow(source: Source) -> Iterator[str]:
    if (depth := len(source.path.parent.parts)) > FOLDERS:
        yield f"{depth} folders deep, at most {FOLDERS}: move it up, or merge two packages"


def functions_are_short(source: Source) -> Iterator[str]:
    for function in source.functions():
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES:
            yield (
                f"{function.lineno}: '{function.name}' has {lines} lines, at most "
                f"{FUNCTION_LINES}: give each stage of it a name"
            )


def functions_take_few_parameters(source: Source) -> Iterator[str]:
    # Exempt in the open: a parameter of a typer command is an option of the command line, and a
    # guest's are its host's, so their number is another's interface, not the code's.
    if source.path.parts[0] in ("cli", "cli.py", "integrations"):
        return
    for function in source.functions():
        given = function.args
        names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        names += [each.arg for each in (given.vararg, given.kwarg) if each]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > PARAMETERS:
            yield (
                f"{function.lineno}: '{function.name}' takes {count} parameters, at most "
                f"{PARAMETERS}: those that travel together are a frozen dataclass"
            )


def keywords_are_named(source: Source) -> Iterator[str]:
    for function in source.functions():
        given = function.args
        for each in (*given.posonlyargs, *given.args, *given.kwonlyargs):
            # a guest takes the names that its host gives
            if each.arg.endswith("kwargs") and source.path.parts[0] != "integrations":
                yield (
                    f"{each.lineno}: the parameter '{each.arg}' hides an interface: name the "
                    "options that are meant"
                )
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            forwarded = [dotted(keyword.value) for keyword in call.keywords if not keyword.arg]
            if given.kwarg and given.kwarg.arg in forwarded:
                yield (
                    f"{call.lineno}: '{function.name}' forwards **{given.kwarg.arg}: name the "
                    "options that are meant"
                )


def contracts_are_protocols(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if any(name == "abc" or name.startswith("abc.") for name in imported(node)):
            yield f"{node.lineno}: imports abc: write the contract as a Protocol in protocols.py"


def nothing_prints(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and dotted(node.func) in ("print", "pprint.pprint"):
            yield f"{node.lineno}: prints: return the value, log it, or let cli show it"


def environment_is_read_in_build(source: Source) -> Iterator[str]:
    if str(source.path) in READS_ENVIRONMENT:
        return
    readers = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"}
    for node in ast.walk(source.tree):
        used = {dotted(node)} if isinstance(node, ast.Attribute) else set(imported(node))
        if found := used & readers:
            yield f"{node.lineno}: reads {found.pop()}: take the value as a parameter from build.py"


def init_only_exports(source: Source) -> Iterator[str]:
    if source.path.name != "__init__.py":
        return
    root = source.path.parent == PurePosixPath()
    for index, node in enumerate(source.tree.body):
        docstring = index == 0 and isinstance(node, ast.Expr)
        exports = isinstance(node, ast.Import | ast.ImportFrom) or is_table_of_names(node, root)
        lazy = root and (
            (isinstance(node, ast.FunctionDef) and node.name in ROOT_HOOKS)
            or (isinstance(node, ast.If) and dotted(node.test) == "TYPE_CHECKING")
        )
        if not (docstring or exports or lazy):
            yield f"{node.lineno}: more than imports and __all__: move it into a file with a name"


def is_table_of_names(node: ast.stmt, root: bool) -> bool:
    """`__all__`, and in the root the table from names to modules."""
    if not isinstance(node, ast.Assign):
        return False
    allowed = {"__all__", "_MODULES"} if root else {"__all__"}
    return all(dotted(target) in allowed for target in node.targets)


def root_is_not_imported(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        plain = isinstance(node, ast.Import) and "secondpass" in imported(node)
        named = (
            isinstance(node, ast.ImportFrom)
            and node.module == "secondpass"
            and any(alias.name not in SUBMODULES for alias in node.names)
        )
        relative = isinstance(node, ast.ImportFrom) and node.level > 0
        if plain or named or relative:
            yield (
                f"{node.lineno}: imports the package root or a relative name: "
                "write 'from secondpass.types import ...'"
            )


def public_names_are_documented(source: Source) -> Iterator[str]:
    if not ast.get_docstring(source.tree):
        yield "1: no docstring: say in 1-5 lines which question this file answers"
    for node, of_class in public_definitions(source.tree):
        in_contract = of_class and node.name in CONTRACT_METHODS
        if not in_contract and not ast.get_docstring(node):
            yield f"{node.lineno}: '{node.name}' has no docstring: say first what comes back"


def public_definitions(tree: ast.Module) -> Iterator[tuple[Definition, bool]]:
    """Public functions and classes, and the methods of those; whether each is a method."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node, False
            if isinstance(node, ast.ClassDef):
                methods = (each for each in node.body if isinstance(each, AnyFunction))
                yield from ((each, True) for each in methods if not each.name.startswith("_"))


def errors_are_not_swallowed(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = any(each is None or dotted(each) in BROAD_ERRORS for each in caught)
        if broad and not any(isinstance(each, ast.Raise) for each in ast.walk(node)):
            yield f"{node.lineno}: swallows every error: catch the one that is expected, or raise"


BROAD_ERRORS = {"Exception", "BaseException"}

RULES: list[Rule] = [
    file_is_short,
    file_name_is_a_noun,
    folders_are_shallow,
    functions_are_short,
    functions_take_few_parameters,
    keywords_are_named,
    contracts_are_protocols,
    nothing_prints,
    environment_is_read_in_build,
    init_only_exports,
    root_is_not_imported,
    public_names_are_documented,
    errors_are_not_swallowed,
]


@cache
def read_all(package: Path) -> list[Source]:
    return [Source.read(file, package) for file in sorted(package.rglob("*.py"))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule):
    sources = read_all(PACKAGE)
    complaints = [f"src/secondpass/{each.path}: {why}" for each in sources for why in rule(each)]
    assert not complaints, "\n" + "\n".join(complaints)


def test_there_is_a_package_to_look_at():
    names = {str(source.path) for source in read_all(PACKAGE)}
    assert {"__init__.py", "types.py", "protocols.py", "errors.py"} <= names
    assert {"rerank", "retrieve", "forward"} <= CONTRACT_METHODS


DOCUMENTED = '"""A file."""\n'
BREAKS: list[tuple[Rule, str, str]] = [
    (file_is_short, "long.py", "x = 1\n" * (FILE_LINES + 1)),
    (file_name_is_a_noun, "engine/utils.py", ""),
    (file_name_is_a_noun, "common/order.py", ""),
    (folders_are_shallow, "engine/backends/native/pack.py", ""),
    (functions_are_short, "a.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
    (functions_take_few_parameters, "a.py", "def f(a, b, c, d, *e, g, **h): pass"),
    (functions_take_few_parameters, "a.py", "class A:\n    def f(self, a, b, c, d, e, g, h): pass"),
    (keywords_are_named, "a.py", "def f(**options): return g(**options)"),
    (keywords_are_named, "a.py", "def f(model_kwargs): pass"),
    (contracts_are_protocols, "a.py", "from abc import ABC"),
    (contracts_are_protocols, "a.py", "import abc"),
    (nothing_prints, "cli/a.py", "def f(): print(1)"),
    (environment_is_read_in_build, "cli/a.py", "import os\nx = os.environ['A']"),
    (environment_is_read_in_build, "a.py", "from os import getenv"),
    (init_only_exports, "engine/__init__.py", "def f(): pass"),
    (init_only_exports, "engine/__init__.py", "_MODULES = {}"),
    (init_only_exports, "__init__.py", "def f(): pass"),
    (root_is_not_imported, "a.py", "import secondpass"),
    (root_is_not_imported, "a.py", "def f():\n    from secondpass import Ranked"),
    (root_is_not_imported, "a.py", "from . import types"),
    (public_names_are_documented, "a.py", f"{DOCUMENTED}def f(): pass"),
    (
        public_names_are_documented,
        "a.py",
        f'{DOCUMENTED}class A:\n    """A."""\n    def f(self): 1',
    ),
    (public_names_are_documented, "a.py", "x = 1"),
    (errors_are_not_swallowed, "a.py", "try: f()\nexcept Exception: pass"),
    (errors_are_not_swallowed, "a.py", "try: f()\nexcept: pass"),
    (errors_are_not_swallowed, "a.py", "try: f()\nexcept (OSError, BaseException): pass"),
]


@pytest.mark.parametrize(("rule", "name", "text"), BREAKS)
def test_a_rule_finds_what_breaks_it(tmp_path: Path, rule: Rule, name: str, text: str):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    assert len(list(rule(Source.read(file, tmp_path)))) == 1


def test_each_rule_is_shown_a_source_that_breaks_it():
    assert {rule.__name__ for rule, _, _ in BREAKS} == {rule.__name__ for rule in RULES}


GOOD = '''"""A file."""

import os.path
from collections.abc import Iterator

from secondpass import errors
from secondpass.types import Ranked


def _hidden(**names): return dict(names)


class Reader:
    """Reads."""

    def __init__(self, a, b, c, d, e, f): pass

    def rerank(self): raise ValueError

    def read(self, environ):
        """What was read."""
        try:
            return self.rerank(environ.get("a"))
        except Exception as error:
            raise RuntimeError from error
'''


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_lets_good_code_pass(tmp_path: Path, rule: Rule):
    file = tmp_path / "reader.py"
    file.write_text(GOOD, encoding="utf-8")
    assert list(rule(Source.read(file, tmp_path))) == []
