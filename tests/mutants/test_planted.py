"""The list of planted faults is current."""

from pathlib import Path

import pytest
from planted import MUTANTS
from planting import Mutant

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name.replace(" ", "-"))
def test_each_can_be_planted(mutant: Mutant) -> None:
    """Its text stands exactly once, and the changed file still compiles: a fault that cannot be
    planted would count as caught by nobody, or by a crash."""
    text = (ROOT / mutant.path).read_text()
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.path, "exec")


def test_there_are_enough_and_no_two_are_the_same() -> None:
    """At least 35, each under a name of its own."""
    names = [m.name for m in MUTANTS]
    assert len(names) == len(set(names)) >= 35
