"""What a change of main may have lost stays said until everybody who may hold it was seen again,
however many drained changes come in between (S12, S13)."""

import pytest
from attrs import evolve
from sights import FAILOVER, FENCED, NAME_C, OPERATIONAL, STORAGE, WELL, A, B, C, joined

from statemachine import events as e
from statemachine.cluster import Change, Cluster
from statemachine.events import Event
from statemachine.evolve import evolve as fold
from statemachine.facts import Situation
from statemachine.guards import reset_is_allowed
from statemachine.ids import Instance, Phase

REFUSAL = e.InstanceRefused(A, "memgraph_0_g9", "Error: 3")
SAID = "at most 1 transaction a writer"


def after(cluster: Cluster, payload: e.Payload, to: Phase | None = None) -> Cluster:
    """The fold of one more entry."""
    return fold(cluster, Event(payload, cluster.phase, to or cluster.phase, "because"))


def failed_over(verdict: str = "none") -> Cluster:
    """A died as main and was never seen again; B is main, not drained."""
    return after(FENCED, e.MainPromoted(B, frozenset(), verdict), Phase.DEGRADED)


def renewed(cluster: Cluster) -> Cluster:
    """The epoch of the same main is renewed: nothing is lost by that."""
    change = Change(cause="renewal", old_main=B, candidate=B, is_planned=True, fence="demoted")
    moving = evolve(cluster, phase=Phase.FAILOVER, rw_open=False, change=change, registrations=())
    return after(moving, e.MainPromoted(B, frozenset(), "none"), Phase.DEGRADED)


def refused(cluster: Cluster) -> Cluster:
    """A is back, and the main does not accept its data."""
    name = joined("memgraph_0_g9", A, is_joined=False)
    return after(evolve(cluster, registrations=(*cluster.registrations, name)), REFUSAL)


def test_who_was_main_owes() -> None:
    """And whoever else had data of this cluster."""
    assert failed_over().owing == {A, C}


AWAY = after(OPERATIONAL, e.ReadersChanged(frozenset({B})))
"""C got every write so far, and nobody reads from it now."""


def died(cluster: Cluster) -> Cluster:
    """The main is gone, and fenced."""
    lost = after(cluster, e.MainLost(B, "dead", was_silent=False), Phase.FAILOVER)
    return after(lost, e.MainFenced("dead"))


@pytest.mark.parametrize("is_retired", [False, True])
def test_a_replica_that_was_away_when_the_main_died_owes(is_retired: bool) -> None:
    """It may hold what its main acknowledged last, and the renewals until it is back say nothing of
    that; its data would be set aside, and removed in the end, without a person."""
    away = evolve(AWAY, epoch_pods=((B, "uid-b/0"), (C, "uid-c/0")))
    if is_retired:
        away = after(away, e.RegistrationRetired(NAME_C, C, "its pod moved"))
    moved = after(died(away), e.MainPromoted(B, frozenset(), "none"), Phase.DEGRADED)
    assert C in moved.owing
    refusal = e.InstanceRefused(C, "memgraph_2_g9", "Error: 3")
    back = after(renewed(moved), refusal)
    assert back.verdict == f"{SAID}: {C} may hold what {B} does not"
    assert not reset_is_allowed(Situation(back, WELL, C)).ok


def test_who_was_away_owes_also_after_a_second_attempt() -> None:
    """The names ended with the first candidate, or a person named another one."""
    lost = after(died(AWAY), e.CandidateLost(None, "dead"), Phase.DEGRADED)
    again = after(lost, e.MainLost(B, "back", was_silent=False), Phase.FAILOVER)
    forced = after(died(AWAY), e.FailoverForced(B, STORAGE, "asked", "unknown", "1"))
    for attempt in (again, forced):
        fenced = after(attempt, e.MainFenced("dead"))
        assert C in after(fenced, e.MainPromoted(B, frozenset(), "none"), Phase.DEGRADED).owing


def test_an_old_main_amends_the_verdict_also_after_a_renewal() -> None:
    """It may hold a write alone that its client was told of; without a person nobody sets it aside,
    and nobody lets the copy go later."""
    back = refused(renewed(failed_over()))
    assert back.verdict == f"{SAID}: {A} may hold what {B} does not"
    assert not reset_is_allowed(Situation(back, WELL, A)).ok


def test_an_admitted_loss_stays_said_until_its_holder_is_seen() -> None:
    """A drained change says "none" of itself, not of what was lost before it."""
    assert renewed(failed_over(SAID)).verdict == SAID
    assert refused(renewed(failed_over(SAID))).verdict == SAID


@pytest.mark.parametrize(
    "seen",
    [
        e.SyncJoined(A, "memgraph_0_g9"),
        e.ReadersChanged(frozenset({A, C})),
    ],
    ids=["joined", "read from"],
)
def test_who_was_accepted_owes_nothing(seen: e.Payload) -> None:
    """The main took its data for its own history: it holds nothing alone."""
    name = joined("memgraph_0_g9", A, is_joined=False)
    cluster = evolve(failed_over(SAID), registrations=(name,))
    to = Phase.OPERATIONAL if isinstance(seen, e.SyncJoined) else Phase.DEGRADED
    accepted = after(cluster, seen, to)
    assert A not in accepted.owing
    calm = renewed(after(accepted, e.ReadersChanged(frozenset({A, C}))))
    assert (calm.owing, calm.verdict) == (frozenset[Instance](), "none")


def test_who_came_back_empty_owes_nothing() -> None:
    """What it held is set aside, with what was said of it."""
    back = refused(renewed(failed_over()))
    ordered = after(back, e.ResetOrdered(A))
    empty = after(ordered, e.ResetDone(A, 1_800_000_000))
    assert A not in empty.owing
    assert [c.needs_a_person for c in empty.set_aside] == [True]


def test_a_drained_change_makes_nobody_owe() -> None:
    """Every write went through the marker's copy first."""
    drained = evolve(
        FAILOVER,
        change=Change("asked", A, B, is_planned=True, is_drained=True, fence="demoted"),
        registrations=(),
    )
    moved = after(drained, e.MainPromoted(B, frozenset(), "none"), Phase.DEGRADED)
    assert moved.owing == frozenset()
    assert refused(moved).verdict == "none"
