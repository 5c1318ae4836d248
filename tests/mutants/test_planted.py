"""The list of planted faults is current, and what is said of it still holds."""

import subprocess
from pathlib import Path

import pytest
from hunting import TESTS_FAILED, ask_again
from planted import MUTANTS
from planting import ROOT, Mutant, copy_of_product
from recorded import PAGE, page, read_found

A_RUN = 6  # faults that are planted anew in each run; which ones, the commit says
CAUGHT = {found.mutant: found for found in read_found() if found.layer == "tests"}


def of_this_commit() -> list[Mutant]:
    """A part of the list that moves on with every commit."""
    said = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    begin = int(said.stdout.strip() or "0", 16)
    known = [m for m in MUTANTS if m.name in CAUGHT]
    return [known[(begin + k * 19) % len(known)] for k in range(A_RUN)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product, for faults to be planted in."""
    return copy_of_product(tmp_path_factory.mktemp("mutants"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name.replace(" ", "-"))
def test_each_can_be_planted(mutant: Mutant) -> None:
    """Its text stands exactly once, and the changed file still compiles: a fault that cannot be
    planted would count as caught by nobody, or by a crash."""
    compile(mutant.changed((ROOT / mutant.path).read_text()), mutant.path, "exec")


def test_there_are_enough_and_no_two_are_the_same() -> None:
    """At least 35, each under a name of its own."""
    names = [m.name for m in MUTANTS]
    assert len(names) == len(set(names)) >= 35


def test_nobody_who_was_hunted_got_away() -> None:
    """A fault that nobody notices is a hole in the tests, not an entry in a table."""
    assert [found.mutant for found in read_found() if not found.layer] == []


def test_the_page_is_made_of_what_was_found() -> None:
    """docs/mutants.md says what found.json says: python tests/mutants/recorded.py."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("number", range(A_RUN))
def test_some_are_planted_anew_and_are_caught_again(tree: Path, number: int) -> None:
    """The check that stands in the table fails with the fault; if it is gone by now, another one of
    the nearest tests does."""
    mutant = of_this_commit()[number]
    code, said = ask_again(CAUGHT[mutant.name], mutant, tree)
    assert code == TESTS_FAILED, f"{mutant.name} is not caught any more: {said}"
