"""What a planted fault is, and how it is put into a copy of the product and taken out again.

Promise: the checkout is never touched; whoever leaves `planted` finds the copy as it was. What a
newcomer gets wrong: a fault that does not change what is run is caught by nobody, so that its text
has to stand exactly once, and the changed file has to compile.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
COPIED = (
    "statemachine",
    "gateway",
    "controller",
    "tests",
    "pyproject.toml",
    "scripts",
    "docs",
    "manifests",
)

CORE = ("tests/statemachine", "tests/controller")
POD = ("tests/controller",)
MEMGRAPH = ("tests/memgraph",)
KUBE = ("tests/kube",)
GATEWAY = ("tests/gateway",)
WEB = ("tests/web", "tests/cli")

_PIECES = "tests/controller/"
NEAREST: dict[str, tuple[str, ...]] = {
    "statemachine/archive.py": (_PIECES + "test_older_versions.py",),
    "statemachine/": (
        "tests/statemachine/test_every_clause.py",
        "tests/statemachine/test_found_by_model_check.py",
        "tests/statemachine/test_decisions.py",
        "tests/statemachine/test_what_people_ask.py",
        "tests/statemachine/test_prestop.py",
    ),
    "controller/chronicle.py": (
        _PIECES + "test_sealed_ledger.py",
        _PIECES + "test_chronicle.py",
        _PIECES + "test_asked_flow.py",
    ),
    "controller/gatekeeper.py": (
        _PIECES + "test_gatekeeper.py",
        _PIECES + "test_gateways.py",
        _PIECES + "test_pod_flow.py",
    ),
    "controller/verify.py": (_PIECES + "test_gatekeeper.py", _PIECES + "test_pod_flow.py"),
    "controller/executor.py": (_PIECES + "test_executor_one.py", _PIECES + "test_executor_end.py"),
    "controller/kube/leadership.py": (
        "tests/kube/test_kube_leadership.py",
        "tests/kube/test_kube_leader_watch.py",
    ),
    "controller/loop.py": (_PIECES + "test_older_versions.py",),
    "controller/pod.py": (_PIECES + "test_older_versions.py",),
    "controller/kube/ledger_store.py": ("tests/kube/test_kube_ledger_store.py",),
    "controller/kube/pod_control.py": ("tests/kube/test_kube_pod_control.py",),
    "controller/memgraph/parse.py": ("tests/memgraph/test_memgraph_parse.py",),
    "controller/memgraph/roles.py": ("tests/memgraph/test_memgraph_roles.py",),
    "controller/memgraph/instance.py": (
        "tests/memgraph/test_memgraph_roles.py",
        "tests/memgraph/test_memgraph_registrations.py",
    ),
    "controller/memgraph/registrations.py": ("tests/memgraph/test_memgraph_registrations.py",),
    "controller/standing.py": (
        _PIECES + "test_standing.py",
        _PIECES + "test_pod_flow.py",
    ),
    "gateway/desk.py": ("tests/gateway/test_gateway_route.py",),
    "gateway/hall.py": ("tests/gateway/test_desk_waiting.py",),
    "gateway/pump.py": ("tests/gateway/test_desk_limits.py", "tests/gateway/test_pump_relay.py"),
    "gateway/mover.py": ("tests/gateway/test_desk_limits.py", "tests/gateway/test_pump_relay.py"),
}
"""The test files that are asked before their whole room is, by the beginning of a path."""


class NotPlanted(Exception):
    """The product's text has changed: the fault has to be written anew."""


@frozen
class Mutant:
    """One fault: `old` becomes `new` in the file. `rule`: what it breaks. `tests`: the rooms whose
    tests are asked first, cheapest first."""

    name: str
    rule: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def nearest(self) -> tuple[str, ...]:
        """The test files to ask first."""
        found = (files for path, files in NEAREST.items() if self.path.startswith(path))
        return next(found, ())

    def changed(self, text: str) -> str:
        """The file with the fault. Raises NotPlanted."""
        times = text.count(self.old)
        if times != 1:
            raise NotPlanted(f"{self.name}: its text stands {times} times in {self.path}")
        return text.replace(self.old, self.new)


def core(name: str, rule: str, path: str, old: str, new: str) -> Mutant:
    """A fault of the pure room."""
    return Mutant(name, rule, f"statemachine/{path}", old, new, CORE)


def pod(name: str, rule: str, path: str, old: str, new: str) -> Mutant:
    """A fault of the loop, the gatekeeper, the executor."""
    return Mutant(name, rule, f"controller/{path}", old, new, POD)


def copy_of_product(directory: Path) -> Path:
    """A copy of what is checked out, as it is now."""
    tree = directory / "tree"
    tree.mkdir()
    names = [name for name in COPIED if (ROOT / name).exists()]
    files = subprocess.run(
        ["git", "ls-files", "--", *names], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in files:
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    return tree


@contextmanager
def planted(mutant: Mutant, tree: Path) -> Iterator[None]:
    """The fault is in the copy within, and gone afterwards."""
    target = tree / mutant.path
    text = target.read_text()
    target.write_text(mutant.changed(text))
    try:
        yield
    finally:
        target.write_text(text)
