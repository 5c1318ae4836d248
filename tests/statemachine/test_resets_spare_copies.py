"""While the main alone holds every acknowledged write, what it refused is given up slowly (S12).

Were the main lost meanwhile, the refused copies are all that is left to look at.
"""

import pytest
from attrs import evolve
from sights import (
    DEGRADED,
    MAIN,
    NAME_B,
    NOW_S,
    OTHER,
    POLICY,
    ROWS,
    SYNC,
    A,
    B,
    C,
    decided,
    failing,
    row,
    seen,
    view,
)

from statemachine.cluster import Cluster, Refused
from statemachine.commands import Restart, WithdrawResetToken, WriteResetToken
from statemachine.decide import decide
from statemachine.events import Event, ResetOrdered
from statemachine.ids import Role, RowStatus, Term
from statemachine.observations import CommandEnded, Failure, Outcome
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.view import InstanceView, View

SAFE = evolve(POLICY, reset="safe")
ALONE = seen(A, Role.MAIN, ())
REFUSED_B, REFUSED_C = Refused(B, Term(3), "Error: 3"), Refused(C, Term(3), "Error: 3")
BOTH = evolve(
    DEGRADED,
    registrations=(),
    readers=frozenset(),
    verdict="none",
    refused=(REFUSED_C, REFUSED_B),
)
ORDERED = evolve(BOTH, refused=(REFUSED_C, evolve(REFUSED_B, token=9)))
WRITTEN = seen(B, token_written=9, restarted_for=9)


def sight(*instances: InstanceView) -> View:
    return view(*instances, policy=SAFE)


def test_who_may_become_main_is_reset_first() -> None:
    """It is the copy that is needed most."""
    decision = decide(BOTH, sight(ALONE, SYNC, OTHER))
    assert isinstance(decision, Event)
    assert decision.payload == ResetOrdered(B)


def test_the_next_one_waits_for_the_one_before() -> None:
    """Until it has come back empty, and then until it is a copy."""
    assert decided(ORDERED, sight(ALONE, WRITTEN, OTHER)) == ""
    rebuilt = evolve(BOTH, refused=(REFUSED_C,), registrations=DEGRADED.registrations[:1])
    for status in (RowStatus.RECOVERY, RowStatus.READY, RowStatus.REPLICATING):
        main = seen(A, Role.MAIN, (row(NAME_B, B, status=status),))
        what = evolve(sight(main, SYNC, OTHER), refused_registrations=())
        assert decided(rebuilt, what) != "reset_ordered"


def test_with_another_complete_copy_nobody_waits() -> None:
    """Two copies hold every write."""
    whole: Cluster = evolve(DEGRADED, sync=frozenset({A, B}), refused=(REFUSED_C,))
    whole = evolve(whole, registrations=(evolve(DEGRADED.registrations[0], is_joined=True),))
    whole = evolve(whole, readers=frozenset({B}))
    assert decided(whole, sight(seen(A, Role.MAIN, ROWS[:1]), SYNC, OTHER)) == "reset_ordered"


@pytest.mark.parametrize(("for_s", "is_ordered"), [(5.0, False), (61.0, True)])
def test_who_does_not_come_back_is_not_waited_for(for_s: float, is_ordered: bool) -> None:
    """A reader without data for ever would help nobody."""
    gone = failing(WRITTEN, Failure.SILENT, for_s)
    assert (decided(ORDERED, sight(ALONE, gone, OTHER)) == "reset_ordered") is is_ordered


def test_an_eligible_copy_that_cannot_be_reached_is_not_waited_for() -> None:
    """Its row is invalid, or it does not answer."""
    rebuilt = evolve(BOTH, refused=(REFUSED_C,), registrations=DEGRADED.registrations[:1])
    rows = (row(NAME_B, B, status=RowStatus.INVALID),)
    assert decided(rebuilt, sight(seen(A, Role.MAIN, rows), SYNC, OTHER)) == "reset_ordered"
    silent = failing(SYNC, Failure.SILENT, 5.0)
    assert decided(rebuilt, sight(seen(A, Role.MAIN, ROWS[:1]), silent, OTHER)) == "reset_ordered"


def test_a_token_is_withdrawn_while_the_main_is_not_whole() -> None:
    """The pod was told to stop and has not yet: its data may be all that is left. Once the main is
    whole again, token and restart are owed anew; a copy that was set aside meanwhile came back
    empty, and the order is done. Found by seed 272017."""
    lost = failing(ALONE, Failure.REFUSED, 0.3)
    owed = plan(ORDERED, sight(lost, WRITTEN, OTHER))
    assert WithdrawResetToken(B, ORDERED.term) in owed
    command = WithdrawResetToken(B, ORDERED.term)
    ended = CommandEnded(command, NOW_S, Outcome.DONE, "", None, NOW_S - 0.1)
    after = observe(sight(MAIN, WRITTEN, OTHER), ended)
    assert WriteResetToken(B, 9, ORDERED.term) in plan(ORDERED, after)
    written = CommandEnded(
        WriteResetToken(B, 9, ORDERED.term), NOW_S, Outcome.DONE, "", None, NOW_S - 0.1
    )
    again = plan(ORDERED, observe(after, written))
    assert any(isinstance(c, Restart) for c in again)
