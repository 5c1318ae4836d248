"""Who notices a planted fault: the layers of proof, asked one after the other, cheapest first.

Promise: a fault counts as caught only by a check that fails with it and passes again when it is
taken out; a check that cannot run at all (a syntax error, a crash of pytest) catches nothing.
Tests that only compare a generated page with the code are not asked: they notice every change.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen
from planting import Mutant, NotPlanted, planted
from quick_pytest import run_pytest, warm_up

PYTEST = ("pytest", "-q", "-x", "-p", "no:cacheprovider")
UNASKED = ("tests/statemachine/test_diagram_current.py",)
LIMIT_S = 900.0
AGAIN_LIMIT_S, NEAREST_LIMIT_S = 120.0, 150.0
TESTS_FAILED = 1  # pytest's exit code; others mean that it could not run
SEEDS, SEED_MINUTES = 100, 2.0
LAYERS = ("tests", "model check", "simulation")


@frozen
class Found:
    """Who caught a fault (`layer` "" = nobody), by which check, and what it took."""

    mutant: str
    rule: str
    layer: str
    check: str
    seconds: float
    note: str = ""


@frozen
class Check:
    """A layer, and what is run for it."""

    layer: str
    command: tuple[str, ...]


def checks_of(mutant: Mutant, layers: Sequence[str]) -> list[Check]:
    """What is asked, cheapest first."""
    unasked = tuple(f"--ignore={path}" for path in UNASKED)
    asked = [mutant.nearest, *((room,) for room in mutant.tests)]
    found = [Check("tests", (*PYTEST, *unasked, *files)) for files in asked if files]
    found.append(Check("model check", (*PYTEST, "tests/model_check")))
    seeds = ("tests/mutants/hunt_seeds.py", str(SEEDS), str(SEED_MINUTES))
    found.append(Check("simulation", (sys.executable, *seeds)))
    return [check for check in found if check.layer in layers]


def run(
    command: Sequence[str], tree: Path, limit_s: float = LIMIT_S, *, forks: bool = False
) -> tuple[int, str]:
    """Exit code, and the first line that names what failed. `forks`: this process is warm, and no
    pytest itself, so that a fork of it may be one."""
    if command[0] == PYTEST[0] and forks:
        code, said = run_pytest(command[1:], tree, limit_s)
        return code, _first_failure(said)
    if command[0] == PYTEST[0]:
        command = (sys.executable, "-m", *command)
    path = os.pathsep.join((str(tree), str(tree / "tests/simulation")))
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=env, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"not done within {limit_s:.0f} s"
    return done.returncode, _first_failure(done.stdout)


def _first_failure(said: str) -> str:
    failed = [line for line in said.splitlines() if line.startswith("FAILED ")]
    return failed[0].removeprefix("FAILED ") if failed else said[-300:]


_WELL: dict[tuple[str, ...], bool] = {}
"""Commands that were run on the copy as it is, and whether they passed."""


def passes_without(command: tuple[str, ...], tree: Path) -> bool:
    """Whether the command passes on the copy as it is; asked once for each."""
    if command not in _WELL:
        _WELL[command] = run(command, tree, forks=True)[0] == 0
    return _WELL[command]


def command_has_files(command: tuple[str, ...]) -> bool:
    """Whether it runs a few files, and not a whole room."""
    return command[-1].endswith(".py")


def command_for(check: str, layer: str) -> tuple[str, ...]:
    """What runs this one check alone."""
    if layer != "simulation":
        return (*PYTEST, check)
    seed = check.split(":")[0].removeprefix("seed ")
    return (sys.executable, "tests/mutants/hunt_seeds.py", "1", str(SEED_MINUTES), seed)


def ask_again(known: Found, mutant: Mutant, tree: Path, *, forks: bool = False) -> tuple[int, str]:
    """What the check on record says with the fault in: exit code, and what failed. If that check is
    gone by now, the nearest tests are asked."""
    nearest = (*PYTEST, *(mutant.nearest or mutant.tests))
    with planted(mutant, tree):
        code, said = run(command_for(known.check, known.layer), tree, AGAIN_LIMIT_S, forks=forks)
        if code not in (0, TESTS_FAILED):
            code, said = run(nearest, tree, NEAREST_LIMIT_S, forks=forks)
    return code, said


def hunt(mutant: Mutant, tree: Path, layers: Sequence[str] = LAYERS) -> Found:
    """Plant it, ask until somebody notices, and take it out again."""
    warm_up()
    began_s, notes = time.monotonic(), []
    try:
        mutant.changed((tree / mutant.path).read_text())
    except NotPlanted as problem:
        return Found(mutant.name, mutant.rule, "", "", 0.0, str(problem))
    for check in checks_of(mutant, layers):
        with planted(mutant, tree):
            code, failure = run(check.command, tree, forks=True)
        seconds = round(time.monotonic() - began_s, 1)
        if code not in (0, TESTS_FAILED):
            notes.append(f"{check.layer} could not run ({code}): {failure[-160:]}")
        if code != TESTS_FAILED:
            continue
        name = failure if check.layer == "simulation" else failure.split(" - ")[0].strip()
        is_near = check.layer == "tests" and command_has_files(check.command)
        command = check.command if is_near else command_for(name, check.layer)
        if passes_without(command, tree):
            return Found(mutant.name, mutant.rule, check.layer, name, seconds, "; ".join(notes))
        notes.append(f"fails without the fault, too: {name}")
    seconds = round(time.monotonic() - began_s, 1)
    return Found(mutant.name, mutant.rule, "", "", seconds, "; ".join(notes))
