"""S13: a main that was cut off may hold an acknowledged write that its sync replica lacks. That is
not forgotten when its candidate is lost as well and everybody waits for one of the two (found by
the simulation), and ends when it is main again."""

import pytest
from attrs import evolve
from sights import FAILOVER, OTHER, SYNC, A, B, pod, promoted, seen, view

from statemachine import events as e
from statemachine import facts as f
from statemachine.cluster import Change, Cluster
from statemachine.decide import decide
from statemachine.events import Event
from statemachine.evolve import evolve as fold
from statemachine.ids import Phase, Role

LOSS = "at most 1 transaction a writer"
CUT_OFF = Change("the main is silent", A, B, was_silent=True)
DEAD = Change("the main refuses connections", A, B)
PLANNED = Change("its pod is being deleted", A, B, is_planned=True)
GONE = "memgraph-1 is gone"


def after(cluster: Cluster, payload: e.Payload, to: Phase) -> Cluster:
    """The fold of one more entry."""
    return fold(cluster, Event(payload, cluster.phase, to, "because"))


def waiting(change: Change) -> Cluster:
    """The candidate of this change is lost, and nobody else is safe."""
    return after(evolve(FAILOVER, change=change), e.CandidateLost(None, GONE), Phase.DEGRADED)


def lost_again(cluster: Cluster, candidate: str = B) -> Cluster:
    """The main is back without its rows, so that it is lost once more."""
    return after(cluster, e.MainLost(candidate, "no working row", was_silent=False), Phase.FAILOVER)


def promoted_to(cluster: Cluster) -> str:
    """The verdict that is said with the promotion of B."""
    fenced = after(cluster, e.MainFenced("demoted"), Phase.FAILOVER)
    whole = promoted(SYNC, fenced.term)
    decision = decide(fenced, view(seen(A), whole, OTHER))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, e.MainPromoted)
    return decision.payload.verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(CUT_OFF, LOSS), (PLANNED, LOSS), (DEAD, "none"), (evolve(PLANNED, is_drained=True), "none")],
    ids=["cut off", "asked to step down", "dead", "drained"],
)
def test_what_it_may_hold_is_said_in_the_end(change: Change, verdict: str) -> None:
    """By the promotion of the sync replica, however many terms later."""
    assert promoted_to(lost_again(waiting(change))) == verdict


def test_it_is_remembered_while_nobody_is_safe() -> None:
    """Also when the main is lost once more before anybody else can be reached."""
    nobody = after(FAILOVER, e.CandidateLost(None, GONE), Phase.DEGRADED)
    silent = after(nobody, e.MainLost(B, "silent", was_silent=True), Phase.FAILOVER)
    assert waiting(CUT_OFF).was_main_silent
    again = after(silent, e.CandidateLost(None, GONE), Phase.DEGRADED)
    assert promoted_to(lost_again(again)) == LOSS


def test_it_ends_when_the_main_is_main_again() -> None:
    """Then its replicas get what they lack before they count."""
    back = after(waiting(CUT_OFF), e.MainReturned(A), Phase.DEGRADED)
    assert not back.was_main_silent
    itself = after(lost_again(waiting(CUT_OFF), A), e.MainFenced("demoted"), Phase.FAILOVER)
    renewed = after(itself, e.MainPromoted(A, frozenset(), "none"), Phase.DEGRADED)
    assert (renewed.was_main_silent, renewed.verdict) == (False, "none")


@pytest.mark.parametrize(
    ("change", "candidate"), [(CUT_OFF, A), (DEAD, B)], ids=["cut off", "dead"]
)
def test_it_shares_what_it_may_hold_before_it_leaves(change: Change, candidate: str) -> None:
    """A main whose pod is being deleted is passed over for one that stays, unless a write may be
    nowhere else: then it is main for as long as it takes to hand that over."""
    leaving = evolve(seen(A, Role.MAIN, ()), pod=pod(A, deleting=True))
    assert f.choose_candidate(waiting(change), view(leaving, SYNC, OTHER)) == candidate


def test_gateways_let_go_of_the_next_candidate_before_it_is_promoted() -> None:
    """S14: it was readable until now, so that its promotion waits for every gateway again."""
    again = after(FAILOVER, e.CandidateLost(A, GONE), Phase.FAILOVER)
    assert (again.rw_closed_seq, A in again.readers) == (again.seq, False)
