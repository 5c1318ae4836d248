"""Whole clusters in virtual time: seeds that failed once, and a fresh row of others."""

from pathlib import Path

import pytest
from simulation.director import run_plan
from simulation.faults import draw_plan

SEEDS = Path(__file__).with_name("seeds.txt")


def stored_seeds() -> list[tuple[int, float, str]]:
    """(seed, minutes, why) of the file."""
    lines = (x.split(maxsplit=2) for x in SEEDS.read_text().splitlines() if x[:1].isdigit())
    return [(int(seed), float(minutes), why) for seed, minutes, why in lines]


@pytest.mark.parametrize(("seed", "minutes", "why"), stored_seeds())
def test_what_failed_once_holds(seed: int, minutes: float, why: str) -> None:
    """No seed that ever found something fails again."""
    verdict = run_plan(draw_plan(seed, minutes))
    assert not verdict.failure, f"{verdict.failure} (once: {why})"


def test_a_seed_is_one_history() -> None:
    """The same seed gives the same history, step by step."""
    plan = draw_plan(3, 3.0)
    assert run_plan(plan).trace == run_plan(plan).trace
