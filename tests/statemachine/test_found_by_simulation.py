"""Stories that seeds of the simulation told, each reduced to one situation."""

from attrs import evolve
from sights import (
    DEGRADED,
    FENCED,
    LEADER,
    NAME_B,
    NOW_S,
    OTHER,
    ROWS,
    SYNC,
    A,
    B,
    C,
    decided,
    pod,
    promoted,
    seen,
    view,
)

from statemachine.cluster import Change, Cluster
from statemachine.commands import Mark, Promote
from statemachine.events import CandidateLost, Event, FailoverForced
from statemachine.evolve import evolve as fold
from statemachine.facts import Situation
from statemachine.guards import replica_is_usable, sync_is_proven
from statemachine.ids import Incarnation, Instance, Phase, Role, Term
from statemachine.observations import Container, PodsListed
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.view import Marker, View


def with_marker_of(term: int) -> View:
    """The main with a marker that carried the replica's present incarnation in this term."""
    assert SYNC.answer is not None
    incarnations: tuple[tuple[Instance, Incarnation], ...] = ((B, SYNC.answer.incarnation),)
    marker = Marker(Term(term), NOW_S - 3, NOW_S - 2, (NAME_B,), incarnations)
    return view(seen(A, Role.MAIN, ROWS, marker=marker), SYNC, OTHER)


def test_a_marker_of_an_earlier_term_is_written_again() -> None:
    """A marker went through, and the API server was down until another reign of the same process:
    it proves nothing in the new term, so a new one is owed, or the replica never joins (seed
    186)."""
    assert Mark(A, DEGRADED.term, (NAME_B,)) in plan(DEGRADED, with_marker_of(2))


def test_a_marker_of_this_term_is_enough() -> None:
    """What is proven is not asked again."""
    assert Mark(A, DEGRADED.term, (NAME_B,)) not in plan(DEGRADED, with_marker_of(3))


def test_a_main_that_came_back_empty_is_lost_though_it_answers() -> None:
    """The only member of the sync set answers with another storage: nobody is safe, and the ledger
    says so (seed 148)."""
    empty = seen(A, Role.REPLICA, None, storage_uuid="storage-new", node_count=0)
    alone = evolve(DEGRADED, leader=LEADER)
    assert decided(alone, view(empty, SYNC, OTHER)) == "main_lost"


def test_a_candidate_that_came_back_empty_is_lost_though_it_answers() -> None:
    """In a renewal the main lost its disk: it would never become main again, and the other member
    holds everything (S10; seed 20278)."""
    renewal = Change(cause="", old_main=A, candidate=A, is_planned=True, fence="demoted")
    moved = evolve(FENCED, change=renewal)
    empty = seen(A, Role.REPLICA, None, storage_uuid="storage-new", node_count=0)
    assert decided(moved, view(empty, SYNC, OTHER)) == "candidate_lost"


def test_a_member_whose_disk_is_gone_is_not_registered_while_it_is_a_member() -> None:
    """REGISTER makes an empty instance carry the cluster's storage: what shows that it holds
    nothing would be gone, and were the new main lost now, it would be promoted (S10; seed
    225706)."""
    change = Change(
        "leaves", A, B, is_planned=True, needs_drain=True, is_drained=True, fence="demoted"
    )
    moved = evolve(FENCED, registrations=(), change=change)
    empty = seen(A, Role.REPLICA, None, storage_uuid="storage-new", node_count=0)
    assert decided(moved, view(empty, promoted(SYNC), OTHER)) == "main_promoted"
    assert decided(moved, view(seen(A), promoted(SYNC), OTHER)) == "registration_opened"
    sight = view(empty, promoted(SYNC), OTHER)
    assert not replica_is_usable(Situation(moved, sight, A)).ok
    shrunk = evolve(moved, sync=frozenset({B}))
    assert replica_is_usable(Situation(shrunk, sight, A)).ok


def test_a_failover_that_is_forced_before_there_was_a_main_is_one_like_any_other() -> None:
    """Once its candidate was lost and is back, nothing is promoted without an event before (seed
    225639)."""
    begun = Cluster(
        phase=Phase.DEGRADED,
        term=Term(2),
        main=A,
        main_term=Term(2),
        is_fresh=True,
        sync=frozenset({A}),
    )
    forced = FailoverForced(A, "storage-1", "asked", "", "request")
    after = fold(begun, Event(forced, Phase.DEGRADED, Phase.FAILOVER, ""))
    assert not after.is_fresh
    lost = fold(after, Event(CandidateLost(None, "gone"), Phase.FAILOVER, Phase.DEGRADED, ""))
    assert not any(isinstance(c, Promote) for c in plan(lost, view(seen(A), SYNC, OTHER)))


def test_a_replica_whose_pod_has_ended_does_not_join() -> None:
    """Its last answer is younger than its end, and the pod that was being deleted is gone from the
    list: what follows under its name may have an empty disk (S3; seed 284855)."""
    carried = with_marker_of(3)
    assert sync_is_proven(Situation(DEGRADED, carried, B, NAME_B)).ok
    others = (pod(A), pod(C))
    waiting = pod(B, container=Container.WAITING)
    for left in (others, (*others, waiting)):
        sight = observe(carried, PodsListed(NOW_S, left, ()))
        assert not sync_is_proven(Situation(DEGRADED, sight, B, NAME_B)).ok


def test_a_replica_that_answers_joins_whatever_its_kubelet_said_before() -> None:
    """Two losses of its node left the word "terminated" standing while it served, and nobody ever
    waited for it again: under `required` no write went through (S3; seed 291770)."""
    waiting = (pod(A), pod(B, container=Container.TERMINATED), pod(C))
    told = observe(with_marker_of(3), PodsListed(NOW_S, waiting, ()))
    assert not sync_is_proven(Situation(DEGRADED, told, B, NAME_B)).ok
    assert SYNC.answer is not None
    later_s = NOW_S + 0.2
    again = observe(told, evolve(SYNC.answer, asked_at_s=later_s, at_s=later_s))
    again = observe(again, PodsListed(later_s + 0.1, waiting, ()))
    assert sync_is_proven(Situation(DEGRADED, again, B, NAME_B)).ok


def test_a_name_is_not_retired_while_its_register_is_on_its_way() -> None:
    """What it makes would be nobody's: a row for which writes wait (S8; seed 291201)."""
    moved = evolve(SYNC, pod=pod(B, ip="10.0.0.99"))
    sight = view(seen(A, Role.MAIN, (ROWS[1],)), moved, OTHER)
    assert decided(DEGRADED, sight) == "registration_retired"
    under_way = evolve(sight, registering_since_s=NOW_S - 0.1)
    assert decided(DEGRADED, under_way) == ""
