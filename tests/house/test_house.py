"""The house rules that a reviewer should not have to remember."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(
    p for room in ("statemachine", "gateway", "controller") for p in (ROOT / room).rglob("*.py")
)
FILE_LINES_MAX = 500  # a file above 300 is asked about in review; above this it is two rooms
FUNCTION_LINES_MAX = 70  # likewise 40

MAY_IMPORT = {
    "kubernetes": ("controller/kube/", "controller/cli/"),  # the CLI reads with the user's rights
    "neo4j": (
        "controller/memgraph/",
        "controller/sandbox/",
        "controller/cli/demo",
        "controller/cli/check_gateways",
        "controller/cli/difference",
    ),
    "trio_asyncio": ("controller/kube/", "controller/memgraph/", "controller/app.py"),
}


def name(path: Path) -> str:
    """Path within the checkout."""
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    """Top-level names of everything imported anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def parsed(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", CODE, ids=name)
def test_files_stay_readable(path: Path) -> None:
    """No file has grown into two."""
    lines = path.read_text().count("\n")
    assert lines <= FILE_LINES_MAX, f"{lines} lines: split it by what it promises"


@pytest.mark.parametrize("path", CODE, ids=name)
def test_functions_stay_small(path: Path) -> None:
    """No function needs scrolling: branching in the parent, arithmetic in leaves."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or 0) - node.lineno + 1
            size -= (ast.get_docstring(node) or "").count("\n")
            assert size <= FUNCTION_LINES_MAX, f"{node.name}: {size} lines"


@pytest.mark.parametrize("path", CODE, ids=name)
def test_foreign_worlds_stay_in_their_rooms(path: Path) -> None:
    """Only controller.kube imports kubernetes, only controller.memgraph neo4j, and so on."""
    for module in imports(parsed(path)):
        rooms = MAY_IMPORT.get(module.split(".")[0])
        if rooms is not None:
            assert name(path).startswith(rooms), f"imports {module}: only {rooms} may"


@pytest.mark.parametrize("path", [p for p in CODE if name(p).startswith("statemachine/")], ids=name)
def test_the_core_is_pure(path: Path) -> None:
    """statemachine imports attrs, transitions and harmless parts of the standard library only, and
    has no coroutine."""
    allowed = {
        "attrs",
        "transitions",
        "statemachine",
        "collections",
        "enum",
        "functools",
        "typing",
        "re",
        "json",
        "hashlib",
        "itertools",
        "argparse",
        "pathlib",
        "sys",
        "heapq",
        "operator",
    }
    tree = parsed(path)
    for module in imports(tree):
        assert module.split(".")[0] in allowed, f"imports {module}"
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef | ast.Await)]


@pytest.mark.parametrize("path", [p for p in CODE if name(p).startswith("gateway/")], ids=name)
def test_the_gateway_knows_neither_kubernetes_nor_memgraph(path: Path) -> None:
    """gateway follows a route that it is handed and imports nothing of the other rooms."""
    for module in imports(parsed(path)):
        assert module.split(".")[0] not in {"controller", "statemachine", "kubernetes", "neo4j"}


@pytest.mark.parametrize("path", CODE, ids=name)
def test_nothing_but_the_cli_imports_the_sandbox(path: Path) -> None:
    """The sandbox is a world in a box: the product must run without it."""
    if name(path).startswith(("controller/sandbox/", "controller/cli/")):
        return
    assert not [m for m in imports(parsed(path)) if m.startswith("controller.sandbox")]


BANNED = {
    r"\btime\.sleep\(": "await trio.sleep, or a deadline",
    r"\bdatetime\.now\(\)": "an aware datetime: datetime.now(UTC)",
    r"\bdatetime\.utcnow\(": "an aware datetime: datetime.now(UTC)",
    r"except\s*:": "name the exception",
    r"except (Base)?Exception\b": "only the entry point catches everything",
}
ENTRY_POINT = "controller/cli/entry.py"


@pytest.mark.parametrize("path", CODE, ids=name)
def test_banned_words(path: Path) -> None:
    """What leads to flaky or silent code is not written, except where the process begins."""
    text = path.read_text()
    for pattern, instead in BANNED.items():
        if "Exception" in pattern and name(path) == ENTRY_POINT:
            continue
        if "sleep" in pattern and name(path).startswith("controller/sandbox/"):
            continue  # separate client processes of the demo are plain, blocking programs
        assert not re.search(pattern, text), f"{pattern}: {instead}"


@pytest.mark.parametrize("path", CODE, ids=name)
def test_every_module_says_what_it_promises(path: Path) -> None:
    """A newcomer can read what a file is for before reading it."""
    assert ast.get_docstring(parsed(path)), "give the module a docstring: the promise"


def test_versions_are_pinned_without_any_index() -> None:
    """constraints.txt pins versions alone: no address of a package index stands in it."""
    lines = (ROOT / "constraints.txt").read_text().split()
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9A-Za-z.+!]+", line) for line in lines)


def test_words_of_the_glossary() -> None:
    """Main and replica, never the words that the field has left behind."""
    wrong = re.compile(r"\b(slave|master)s?\b", re.IGNORECASE)
    foreign = 'ATTACH = "master"'  # an argument of ip(8)
    for path in CODE:
        assert not wrong.search(path.read_text().replace(foreign, "")), name(path)
