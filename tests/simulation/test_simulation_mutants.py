"""The simulation notices mistakes that are planted in the product, each by a seed that is listed.

The seeds stand in `caught.txt`; the same seeds hold without a mistake. A seed's plan changes when
kinds of faults are added: then a mistake is looked for again (`--hunt`) and its line replaced.
"""

from pathlib import Path

import pytest
from simulation.director import run_plan
from simulation.faults import draw_plan
from simulation.mistakes import MUTANTS
from simulation.mutants import planted

CAUGHT = Path(__file__).parent / "caught.txt"


def caught() -> list[tuple[int, float, str]]:
    """(seed, minutes, mistake) of the file."""
    lines = (x for x in CAUGHT.read_text().splitlines() if x[:1].isdigit())
    rows = (x.split(maxsplit=2) for x in lines)
    return [(int(seed), float(minutes), name) for seed, minutes, name in rows]


@pytest.mark.parametrize(("seed", "minutes", "mistake"), caught(), ids=lambda x: str(x))
def test_a_planted_mistake_is_caught(seed: int, minutes: float, mistake: str) -> None:
    """The world (or the product's own invariants) says which sentence is not true any more."""
    with planted(mistake):
        verdict = run_plan(draw_plan(seed, minutes))
    assert verdict.failure, f"seed {seed} holds in spite of: {mistake}"


@pytest.mark.parametrize(("seed", "minutes"), sorted({row[:2] for row in caught()}))
def test_the_same_seeds_hold_without_a_mistake(seed: int, minutes: float) -> None:
    """What fails above fails because of what was planted."""
    assert not run_plan(draw_plan(seed, minutes)).failure


def test_every_listed_mistake_is_known() -> None:
    """A name that is misspelt would be planted nowhere."""
    assert {name for _, _, name in caught()} <= set(MUTANTS)
