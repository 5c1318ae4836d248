"""What keeps a later failover from being refused by everybody: the main's epoch and its first
commit (found by the simulation)."""

import pytest
from attrs import evolve
from sights import (
    DEGRADED,
    MAIN,
    NOW_S,
    OPERATIONAL,
    OTHER,
    ROWS,
    SYNC,
    WELL,
    A,
    B,
    C,
    decided,
    failing,
    joined,
    pod,
    row,
    seen,
    view,
)

from statemachine import events as e
from statemachine.cluster import Cluster
from statemachine.commands import Drop, Mark
from statemachine.events import Event
from statemachine.evolve import evolve as fold
from statemachine.ids import Mode, Phase, Role, RowStatus, Seq, Term
from statemachine.observations import Failure
from statemachine.plan import plan
from statemachine.view import InstanceView, Marker

NEW_POD = pod(B, uid="uid-new")


def done(cluster: Cluster, payload: e.Payload, dest: Phase) -> Cluster:
    """The cluster after an event of this payload."""
    return fold(cluster, Event(payload, cluster.phase, dest, "because"))


def test_a_new_name_does_not_hide_a_restart_within_the_epoch() -> None:
    """A sync replica that left, restarted, and joined again under a new name has restarted inside
    the epoch all the same: renewed before it may be promoted (F13, F14)."""
    name = "memgraph_1_g3"
    first = evolve(DEGRADED, registrations=DEGRADED.registrations[1:], readers=frozenset({C}))
    known = done(
        first,
        e.RegistrationOpened(name, B, Mode.STRICT_SYNC, "127.0.0.1:10000", f"uid-{B}/0"),
        Phase.DEGRADED,
    )
    gone = done(known, e.RegistrationRetired(name, B, "it left"), Phase.DEGRADED)
    again = done(
        gone,
        e.RegistrationOpened("memgraph_1_g4", B, Mode.STRICT_SYNC, "127.0.0.1:10000", "uid-new/0"),
        Phase.DEGRADED,
    )
    whole = done(again, e.SyncJoined(B, "memgraph_1_g4"), Phase.OPERATIONAL)
    whole = evolve(whole, readers=frozenset({B, C}))
    rows = (row("memgraph_1_g4", B), ROWS[1])
    what = view(seen(A, Role.MAIN, rows), evolve(SYNC, pod=NEW_POD), OTHER)
    assert decided(whole, what) == "renewal_started"


def test_a_new_epoch_forgets_the_incarnations_of_the_last_one() -> None:
    """After a change of main the first registration counts anew."""
    known = evolve(OPERATIONAL, epoch_pods=((B, "uid-old/0"),))
    restarted = view(WELL.instance(A), SYNC, OTHER)
    assert decided(known, restarted) == "renewal_started"
    change = done(known, e.RenewalStarted("because", True, frozenset()), Phase.FAILOVER)
    fenced = done(done(change, e.Drained(), Phase.FAILOVER), e.MainFenced("x"), Phase.FAILOVER)
    assert fenced.epoch_pods == ()


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        (SYNC, "renewal_started"),
        (failing(SYNC, Failure.REFUSED, 0.5), ""),
        (seen(B, storage_uuid="another", node_count=0), "sync_lost"),
    ],
    ids=["with its data", "not yet", "with an empty disk"],
)
def test_a_restarted_replica_is_renewed_once_it_is_back_with_its_data(
    back: InstanceView, expected: str
) -> None:
    """Before that the marker of the renewal could only fail, and clients would wait for nothing;
    one without its data leaves the sync set (S10)."""
    sight = view(MAIN, evolve(back, pod=pod(B, restarts=1)), OTHER)
    assert decided(OPERATIONAL, sight) == expected


ALONE = evolve(DEGRADED, registrations=(), readers=frozenset(), main_term=Term(3))


def test_a_lone_main_commits_in_its_epoch_before_anybody_follows_it() -> None:
    """A replica registered before the epoch's first commit is refused later (MEMGRAPH L5): the
    marker comes first, also while nobody writes."""
    alone = view(seen(A, Role.MAIN, ()), SYNC, OTHER)
    assert decided(ALONE, alone) == ""
    assert Mark(A, Term(3)) in plan(ALONE, alone)
    main = seen(A, Role.MAIN, (), marker=Marker(Term(3), NOW_S - 1, NOW_S - 0.5, (), ()))
    assert decided(ALONE, view(main, SYNC, OTHER)) == "registration_opened"


def test_a_main_with_copies_does_not_commit_alone() -> None:
    """With another member in the sync set the commit would be on the main alone: it waits for the
    registrations."""
    what = view(seen(A, Role.MAIN, ()), SYNC, OTHER)
    assert not any(isinstance(c, Mark) for c in plan(OPERATIONAL, what))


def test_no_row_is_dropped_before_every_gateway_has_cut() -> None:
    """RW closed in the ledger is not yet RW closed at the gateways: writers would still be active
    when the young row is dropped (S8, MEMGRAPH L8)."""
    foreign = row("left_over_g9", C, Mode.ASYNC, status=RowStatus.RECOVERY)
    closed = evolve(
        DEGRADED, rw_open=False, rw_closed_seq=Seq(30), registrations=(joined(is_joined=False),)
    )
    what = view(seen(A, Role.MAIN, (ROWS[0], foreign)), SYNC)
    drop = Drop(A, "left_over_g9", Term(3))
    assert drop in plan(closed, what)
    gateways = tuple(evolve(g, facts=evolve(g.facts, acked_seq=Seq(29))) for g in what.gateways)
    assert drop not in plan(closed, evolve(what, gateways=gateways))
