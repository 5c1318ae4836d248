"""Whole clusters in virtual time: what failed once, and a fresh row of seeds."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from simulation.director import run_plan
from simulation.faults import KINDS, Fault, Plan, draw_plan
from simulation.shrink import shrink

HERE = Path(__file__).parent
PLANS = sorted((HERE / "plans").glob("*.json"))
ROW_FIRST, ROW_COUNT, ROW_MINUTES = 1000, 100, 2.0
ROW_LIMIT_S = 20.0  # of processor time; a slow machine runs fewer of the row, never none


def stored_seeds() -> list[tuple[int, float, str]]:
    """(seed, minutes, why) of the file."""
    lines = (HERE / "seeds.txt").read_text().splitlines()
    rows = (x.split(maxsplit=2) for x in lines if x[:1].isdigit())
    return [(int(seed), float(minutes), why) for seed, minutes, why in rows]


@pytest.mark.parametrize(("seed", "minutes", "why"), stored_seeds())
def test_seeds_that_failed_once_hold(seed: int, minutes: float, why: str) -> None:
    """No seed that ever found something fails again."""
    verdict = run_plan(draw_plan(seed, minutes))
    assert not verdict.failure, f"{verdict.failure} (once: {why})"


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_that_failed_once_hold(path: Path) -> None:
    """The same for plans as they were drawn then: a plan stays what it is when seeds change their
    meaning."""
    verdict = run_plan(Plan.from_json(path.read_text()))
    assert not verdict.failure, f"{verdict.failure} ({path.name})"


def test_a_row_of_seeds_holds() -> None:
    """Safety throughout and progress at the end, for seeds that nobody has chosen."""
    began_s, acked = time.process_time(), 0
    for number in range(ROW_COUNT):
        plan = draw_plan(ROW_FIRST + number, ROW_MINUTES)
        verdict = run_plan(plan)
        assert not verdict.failure, f"seed {plan.seed}, {ROW_MINUTES} minutes: {verdict.failure}"
        acked += verdict.acked
        if time.process_time() - began_s > ROW_LIMIT_S:
            break
    assert acked > 100, "hardly anybody ever wrote anything"


def test_a_plan_is_one_history() -> None:
    """The same plan gives the same history, whatever Python's hashes are: ids, order of tasks,
    every virtual time."""
    command = (sys.executable, "-P", "-m", "simulation", "--seed", "3", "--minutes", "2", "--trace")
    said = set()
    for hash_seed in ("1", "2"):
        paths = os.pathsep.join((str(HERE), str(HERE.parents[1])))
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
        said.add(ran.stdout.partition("{")[0])
    assert len(said) == 1
    assert "became MAIN" in said.pop()


def test_plans_survive_a_file() -> None:
    """What is stored is what was drawn."""
    plan = draw_plan(5)
    assert Plan.from_json(plan.to_json()) == plan


def test_every_kind_of_fault_is_drawn() -> None:
    """A few hundred seeds hold every kind."""
    drawn = {fault.kind for seed in range(300) for fault in draw_plan(seed).faults}
    assert drawn == set(KINDS)


def test_a_failing_plan_shrinks_to_what_makes_it_fail() -> None:
    """Of twenty faults the one that matters remains, and only a like failure counts."""
    culprit = Fault(7.0, "kill", "main")
    others = tuple(Fault(float(n), "hang", "sync") for n in range(20))
    plan = Plan(1, (*others[:9], culprit, *others[9:]), dead="ctl-0")

    def fails(tried: Plan) -> str:
        if culprit in tried.faults:
            return f"write {len(tried.faults)} was lost"
        return "" if tried.faults else "something else"

    small = shrink(plan, fails)
    assert small.faults == (culprit,)
    assert small.dead == ""
