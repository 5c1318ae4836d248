"""Runs pytest in a fork of this process, whose imports of other people's packages are done already.

Promise: a run sees the modules of the copy alone, for this process never imports the product. On a
busy machine that is several times faster than a new interpreter for each planted fault.
"""

import importlib
import importlib.util
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FOREIGN = (
    "pytest",
    "trio",
    "attrs",
    "cattrs",
    "transitions",
    "structlog",
    "kubernetes.client",
    "neo4j",
    "h11",
    "hypercorn",
    "starlette",
    "prometheus_client",
    "yaml",
    "click",
    "rich",
)
LOOK_EVERY_S = 0.05
NOT_DONE = -1
MEMORY_BYTES = 4 << 30  # a fault may start tasks without end, and virtual time never runs out


def warm_up() -> None:
    """Import what tests import and the product does not own; a missing one is nobody's fault."""
    for name in FOREIGN:
        if importlib.util.find_spec(name.split(".")[0]) is not None:
            importlib.import_module(name)


def run_pytest(arguments: Sequence[str], tree: Path, limit_s: float) -> tuple[int, str]:
    """Exit code (NOT_DONE after `limit_s`) and what was printed."""
    said = tree.parent / "said.txt"
    pid = os.fork()
    if pid == 0:
        _be_pytest(arguments, tree, said)
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")
        time.sleep(LOOK_EVERY_S)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return NOT_DONE, f"not done within {limit_s:.0f} s"


def _be_pytest(arguments: Sequence[str], tree: Path, said: Path) -> None:
    """In the fork; does not return."""
    code = 3
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(tree)
        os.environ["PYTHONPATH"] = str(tree)
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        sys.path[:] = [str(tree), *(p for p in sys.path if p != str(Path(__file__).parent))]
        import pytest

        quiet = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # some came with others
        code = int(pytest.main([*arguments, *quiet]))
        sys.stdout.flush()
    finally:
        os._exit(code)
