"""The simulation notices mistakes that are planted in the product, and holds without them.

Each story is a plan made for a class of mistakes: a gateway that hears late while the main changes
in a planned way, disks that get lost. What is planted in `mutants` and not named here is not caught
by these two stories.
"""

import pytest
from simulation.director import run_plan
from simulation.faults import Fault, Plan
from simulation.mutants import planted


def changes_of_main(rounds: int, slowness: tuple[float, ...]) -> Plan:
    """Pods of mains are deleted while watches lag and commits take long; then a replica dies or
    loses its disk."""
    faults = []
    for n in range(rounds):
        at_s, slow = n * 30.0, slowness[n % len(slowness)]
        kind = "disk_loss" if n % 3 == 0 else "kill"
        faults += [
            Fault(at_s, "watch_lag", "", 6.0, 1.0),
            Fault(at_s + 0.1, "slow_replication", "", 6.0, slow),
            Fault(at_s + 0.6 + 0.13 * n, "delete_pod", "main"),
            Fault(at_s + 12, kind, "sync", 0.5),
        ]
    return Plan(7, tuple(faults))


SLOW = changes_of_main(8, (0.51,))
MIXED = changes_of_main(12, tuple(0.05 + 0.03 * n for n in range(12)))


@pytest.mark.parametrize("plan", [SLOW, MIXED], ids=["slow", "mixed"])
def test_the_stories_hold_without_a_mistake(plan: Plan) -> None:
    """What fails below fails because of what was planted."""
    assert run_plan(plan).failure == ""


@pytest.mark.parametrize(
    ("mutant", "plan", "sentence"),
    [
        ("nobody waits for the cut of the gateways", SLOW, "of the sync set does not hold it"),
        ("identity is not checked", MIXED, "became main without acknowledged write"),
        ("an outsider is promoted", MIXED, "is not in the sync set"),
    ],
)
def test_a_planted_mistake_is_caught(mutant: str, plan: Plan, sentence: str) -> None:
    """The books (or the product's own invariants) say which sentence is not true any more."""
    with planted(mutant):
        assert sentence in run_plan(plan).failure
