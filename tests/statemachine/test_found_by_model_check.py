"""Stories that the model check told, each reduced to one situation."""

import pytest
from attrs import evolve
from sights import (
    DEGRADED,
    MAIN,
    NAME_B,
    NOW_S,
    OPERATIONAL,
    OTHER,
    ROWS,
    SYNC,
    A,
    C,
    decided,
    failing,
    pod,
    row,
    seen,
    view,
)

from statemachine.cluster import Cluster, Refused
from statemachine.commands import Restart, WithdrawResetToken, WriteResetToken
from statemachine.events import CandidateLost, Event, FailoverForced
from statemachine.evolve import evolve as fold
from statemachine.ids import Instance, Phase, Role, RowStatus, Term
from statemachine.observations import Container, Failure
from statemachine.plan import plan
from statemachine.view import InstanceView, View

B = Instance("memgraph-1")


def with_zombie(for_s: float) -> View:
    """A main whose row for the replica has replicated nothing for some time."""
    zombie = row(NAME_B, B, status=RowStatus.ABSENT, behind=None)
    main = seen(A, Role.MAIN, (zombie, *ROWS[1:]), unready_since_s=((NAME_B, NOW_S - for_s),))
    return view(main, SYNC, OTHER)


def test_a_row_whose_register_failed_unheard_is_retired() -> None:
    """The leader died, or lost the answer, while REGISTER was refused: the row that is left
    replicates nothing and blocks its address, so the name is given up (S8); else the replica
    would never be registered again."""
    assert decided(DEGRADED, with_zombie(6.0)) == "registration_retired"


def test_a_row_that_replicates_nothing_yet_is_waited_for() -> None:
    """Only a while later is it sure that nobody is just about to tell why."""
    assert decided(DEGRADED, with_zombie(1.0)) == ""


def test_a_register_under_way_is_not_given_up() -> None:
    """While the leader waits for its own REGISTER the row is what it is."""
    running = evolve(with_zombie(6.0), registering_since_s=NOW_S - 6.0)
    assert decided(DEGRADED, running) != "registration_retired"


ORDERED = evolve(
    OPERATIONAL,
    refused=(Refused(C, OPERATIONAL.term, "diverged", token=7),),
    registrations=OPERATIONAL.registrations[:1],
)
WRITTEN = seen(C, token_written=7)


@pytest.mark.parametrize(
    ("main", "is_carried_out"),
    [
        (MAIN, True),
        (seen(A, Role.MAIN, ROWS, storage_uuid="another"), False),
        (seen(A, Role.REPLICA), False),
        (failing(MAIN, Failure.SILENT, 0.5), False),
    ],
    ids=["well", "lost its storage", "came back as REPLICA", "silent"],
)
def test_no_data_are_set_aside_while_the_main_is_not_whole(
    main: InstanceView, is_carried_out: bool
) -> None:
    """S12, F17: a reset was ordered, then the main loses its disk; what it refused is the last copy
    now. Neither the token nor the pod is touched, also before the loss is in the ledger."""
    for other, command in ((WRITTEN, Restart), (seen(C, token_written=0), WriteResetToken)):
        owed = plan(ORDERED, view(main, SYNC, other))
        assert any(isinstance(c, command) for c in owed) is is_carried_out


def test_an_order_of_an_earlier_term_is_not_carried_out() -> None:
    """S12: the order is void in any other term than its own, and its token is withdrawn."""
    later = evolve(ORDERED, term=Term(ORDERED.term + 1))
    owed = plan(later, view(MAIN, SYNC, WRITTEN))
    assert WithdrawResetToken(C, later.term) in owed
    assert not any(isinstance(c, Restart | WriteResetToken) for c in owed)


def interrupted(candidate: Instance | None) -> Cluster:
    """A person forced C, which was no member, and C is gone before it was promoted."""
    unknown = "unknown: memgraph-2 was not in the sync set"
    forced = FailoverForced(C, OPERATIONAL.storage_uuid, "asked", unknown, "request")
    begun = fold(OPERATIONAL, Event(forced, Phase.OPERATIONAL, Phase.FAILOVER, ""))
    dest = Phase.FAILOVER if candidate else Phase.DEGRADED
    return fold(begun, Event(CandidateLost(candidate, "gone"), Phase.FAILOVER, dest, ""))


def test_a_forced_candidate_counts_as_complete_for_that_attempt_alone() -> None:
    """S3, S13: what a person took for complete is not promoted later by itself, with a verdict that
    says that nothing is missing; a person has to ask for it again."""
    closed = interrupted(None)
    assert closed.sync == {A, B}
    dead = [
        failing(seen(i), Failure.REFUSED, 60.0, pod=pod(i, container=Container.TERMINATED))
        for i in (A, B)
    ]
    assert decided(closed, view(*dead, OTHER)) != "main_lost"
    assert decided(closed, view(dead[0], SYNC, OTHER)) == "main_lost"


def test_another_candidate_is_not_burdened_with_what_was_accepted() -> None:
    """S13: the member that takes over holds everything; should it die as well it stays a member."""
    moved = interrupted(B)
    assert moved.change is not None
    assert moved.change.verdict == ""
    again = fold(moved, Event(CandidateLost(A, "gone"), Phase.FAILOVER, Phase.FAILOVER, ""))
    assert again.sync == {A, B}
