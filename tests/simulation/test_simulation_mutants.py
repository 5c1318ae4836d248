"""The simulation notices mistakes that are planted in the product, each by a plan that is kept.

The plans stand in `caught/`, as they were drawn when they caught it; the same plans hold without
the mistake. Which are caught by how many seeds: `./scripts/simulate --mistake NAME --seeds N`. A
product whose timing has changed may need other seeds for the same plans:
`PYTHONPATH=.:tests/simulation .venv/bin/python -P -m simulation.reseed`.
"""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from simulation.director import run_plan
from simulation.mistakes import MUTANTS
from simulation.mutants import planted
from simulation.plan import Plan

CLUMSY = re.compile("AttributeError|TypeError|KeyError|NameError")
PATHS = sorted((Path(__file__).parent / "caught").glob("*.json"))


@cache
def failure_of(plan: Plan) -> str:
    """Without any mistake; many are caught by one plan."""
    return run_plan(plan).failure


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_planted_mistake_is_caught(path: Path) -> None:
    """With it the world (or an invariant of the product) says which sentence is not true any more;
    without it the same plan holds."""
    text = path.read_text()
    plan = Plan.from_json(text)
    with planted(json.loads(text)["mistake"]):
        failure = run_plan(plan).failure
    assert failure
    assert not CLUMSY.search(failure), f"the mistake itself does not run: {failure}"
    assert not failure_of(plan)


def test_every_mistake_has_its_plan() -> None:
    """None is taken on trust."""
    assert {json.loads(path.read_text())["mistake"] for path in PATHS} == set(MUTANTS)
