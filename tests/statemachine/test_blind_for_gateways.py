"""S6: what a leader may conclude from gateway Leases that it did not see for a while. Its watch may
hang without an error, so that its picture is old, and the next one comes from a fresh list."""

import pytest
from attrs import evolve
from sights import (
    FAILOVER,
    MAIN,
    NOW_S,
    OPERATIONAL,
    OTHER,
    SYNC,
    WELL,
    A,
    decided,
    failing,
    gateway,
    pod,
    refused,
    seen,
    view,
)

from statemachine.commands import ListGateways
from statemachine.facts import Situation
from statemachine.guards import gateways_have_cut
from statemachine.ids import Role
from statemachine.observations import Container, Failure, GatewayFacts, GatewaysListed
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.view import View

OURS, OTHERS = gateway("c0"), gateway("c1", acked=20)
BARRIER_S = view(seen(A)).policy.gateway_barrier_s


def watching(last_s: float) -> View:
    """Both gateways were well in the last picture, which came at `last_s`."""
    both = tuple(evolve(g, changed_at_s=last_s) for g in (OURS, OTHERS))
    main = failing(seen(A, Role.MAIN, ()), Failure.REFUSED, 1)
    return evolve(view(main, SYNC, OTHER), gateways=both, gateways_seen_at_s=last_s)


def listed(at_s: float, *gateways: GatewayFacts) -> GatewaysListed:
    """A fresh list, read after the cut."""
    return GatewaysListed(at_s, gateways, FAILOVER.rw_closed_seq)


def has_cut(now: View, at_s: float) -> bool:
    """Whether every gateway has cut, as far as is known then."""
    return gateways_have_cut(Situation(FAILOVER, evolve(now, now_s=at_s), None)).ok


@pytest.mark.parametrize("blind_s", [0.5, 14.0])
def test_a_deleted_lease_counts_from_when_it_was_missed(blind_s: float) -> None:
    """It may have been renewed until a moment before, whatever our last picture was."""
    after = observe(watching(NOW_S - blind_s), listed(NOW_S, OURS.facts))
    again = observe(after, listed(NOW_S + 1, evolve(OURS.facts, stamp="later")))
    assert not has_cut(again, NOW_S + BARRIER_S)
    assert has_cut(again, NOW_S + BARRIER_S + 0.1)


def test_one_that_came_and_went_unseen_is_waited_for() -> None:
    """A list shows nothing of a gateway whose Lease was made and deleted since the last one."""
    after = observe(watching(NOW_S - BARRIER_S - 0.1), listed(NOW_S, OURS.facts))
    alone = evolve(after, gateways=after.gateways[:1])
    assert not has_cut(alone, NOW_S + BARRIER_S - 0.1)
    assert has_cut(alone, NOW_S + BARRIER_S)


def test_who_watches_all_the_time_waits_for_nobody_unseen() -> None:
    """Pictures come with every renewal, several in the time of the barrier."""
    now = watching(NOW_S - 1)
    for second in range(3):
        acked = evolve(OTHERS.facts, acked_seq=FAILOVER.rw_closed_seq, stamp=str(second))
        now = observe(now, listed(NOW_S + second, OURS.facts, acked))
    assert has_cut(now, NOW_S + 2)


def test_a_leader_that_is_blind_looks() -> None:
    """By a list of its own: a watch that hangs is noticed by nobody else for a minute."""
    listing = ListGateways(OPERATIONAL.rw_closed_seq, OPERATIONAL.term)
    assert listing not in plan(OPERATIONAL, evolve(WELL, gateways_seen_at_s=NOW_S - BARRIER_S))
    assert listing in plan(OPERATIONAL, evolve(WELL, gateways_seen_at_s=NOW_S - BARRIER_S - 0.1))


def test_a_leader_that_is_blind_calls_no_main_lost_by_itself() -> None:
    """The others may reach it, and their word was not heard; the kubelet's counts all the same."""
    last_s = NOW_S - BARRIER_S - 0.1
    old = tuple(evolve(g, changed_at_s=last_s) for g in WELL.gateways)
    blind = {"gateways": old, "gateways_seen_at_s": last_s}
    silent = failing(MAIN, Failure.SILENT, 9)
    assert refused(OPERATIONAL, view(silent, SYNC, OTHER, **blind), "main_lost").guard == (
        "vantages_agree"
    )
    gone = evolve(failing(MAIN, Failure.REFUSED, 9), pod=pod(A, container=Container.TERMINATED))
    assert decided(OPERATIONAL, view(gone, SYNC, OTHER, **blind)) == "main_lost"
