"""Plants one fault after the other into a copy of the product, and looks who notices.

Promise: the checkout is not touched; a fault counts as caught only by a check that passes without
it (each is run once on the unchanged copy first) and fails with it by a failed test, not by a crash
of the test program itself.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import asdict, frozen
from planted import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("statemachine", "gateway", "controller", "tests", "pyproject.toml", "scripts", "docs")
LIMIT_S = 900.0
TESTS_FAILED = 1  # pytest's exit code; others mean that it could not run


@frozen
class Found:
    """Who caught a fault, and what it took."""

    mutant: str
    rule: str
    caught_by: str  # "" = nobody
    first_failure: str
    seconds: float


def copy_of_product(directory: Path) -> Path:
    """A copy of what is checked out, as it is now."""
    tree = directory / "tree"
    tree.mkdir()
    names = [name for name in COPIED if (ROOT / name).exists()]
    files = subprocess.run(
        ["git", "ls-files", "--", *names], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in files:
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    return tree


def checks_of(mutant: Mutant) -> list[list[str]]:
    """What is asked, cheapest first: tests, then the model check, then the simulation."""
    base = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    asked = [[*base, tests] for tests in mutant.tests]
    if (ROOT / "tests/model_check").is_dir():
        asked.append([*base, "tests/model_check"])
    if (ROOT / "tests/simulation").is_dir():
        asked.append([*base, "tests/simulation"])
    return asked


def run(command: Sequence[str], tree: Path) -> tuple[int, str]:
    """Exit code, and the first line that names a failed test."""
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return TESTS_FAILED, f"not done within {LIMIT_S:.0f} s"
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return done.returncode, failed[0].removeprefix("FAILED ") if failed else done.stdout[-300:]


def hunt(mutant: Mutant) -> Found:
    """Plant it, and ask until somebody notices."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        tree = copy_of_product(Path(directory))
        target = tree / mutant.path
        text = target.read_text()
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: its text stands {text.count(mutant.old)} times")
        target.write_text(text.replace(mutant.old, mutant.new))
        for command in checks_of(mutant):
            code, failure = run(command, tree)
            if code == TESTS_FAILED:
                seconds = time.monotonic() - begin
                return Found(mutant.name, mutant.rule, command[-1], failure, round(seconds, 1))
    return Found(mutant.name, mutant.rule, "", "", round(time.monotonic() - begin, 1))


def check_baseline(mutants: Iterable[Mutant]) -> None:
    """Every check passes on the unchanged copy; else it catches nothing."""
    wanted = sorted({tests for m in mutants for tests in m.tests})
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        tree = copy_of_product(Path(directory))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *wanted]
        code, failure = run(command, tree)
        if code != 0:
            raise SystemExit(f"the checks fail without any fault: {failure}")


def main() -> int:
    """Exit code 1 when a fault was caught by nobody."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="only faults whose name contains one of these")
    parser.add_argument("--list", action="store_true", help="show them and do nothing")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the table there")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.names or any(n in m.name for n in options.names)]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.rule:12} {mutant.path:40} {mutant.name}")
        return 0
    check_baseline(chosen)
    found = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for one in pool.map(hunt, chosen):
            found.append(one)
            by = f"{one.caught_by}: {one.first_failure}" if one.caught_by else "NOBODY"
            print(f"{one.rule:12} {one.mutant:50} {one.seconds:6.1f} s  {by[:160]}", flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(f) for f in found], indent=2) + "\n")
    missed = [f.mutant for f in found if not f.caught_by]
    print(f"{len(found) - len(missed)} of {len(found)} planted faults were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
