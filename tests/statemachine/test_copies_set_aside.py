"""S12: what a reset has set aside is kept until it is surely not needed, and told by name then."""

import math

import pytest
from attrs import evolve
from lives import OP, event
from sights import (
    DEGRADED,
    MAIN,
    NAME_C,
    OPERATIONAL,
    OTHER,
    POLICY,
    ROWS,
    SYNC,
    A,
    B,
    C,
    decided,
    row,
    seen,
    view,
)
from sights import refused as why_not

from statemachine import events as e
from statemachine.cluster import Cluster, Refused, SetAside
from statemachine.commands import ReleaseCopies
from statemachine.evolve import evolve as fold
from statemachine.facts import Situation
from statemachine.folds_refused import SET_ASIDE_MAX
from statemachine.guards import redundancy_is_whole
from statemachine.ids import Mode, Role, RowStatus, Seq, Term
from statemachine.invariants import InvariantViolated
from statemachine.observations import CommandEnded, LeadershipChanged, Outcome
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.view import View

AT_S, KEEP_S = 1_800_000_000, 3600.0
COPY = SetAside(C, 12, AT_S)
HELD = evolve(OPERATIONAL, set_aside=(COPY,))
KEPT = evolve(POLICY, diverged_keep_s=KEEP_S)


def later(after_s: float, keep_s: float = KEEP_S) -> View:
    """What the leader sees so long after the copy was made."""
    policy = evolve(POLICY, diverged_keep_s=keep_s)
    return view(MAIN, SYNC, OTHER, policy=policy, wall_s=AT_S + after_s)


@pytest.mark.parametrize(
    ("after_s", "keep_s", "is_released"),
    [(KEEP_S, KEEP_S, True), (KEEP_S - 1, KEEP_S, False), (1e9, math.inf, False)],
    ids=["its time is over", "a second is missing", "kept for ever"],
)
def test_a_copy_is_kept_as_long_as_the_settings_say(
    after_s: float, keep_s: float, is_released: bool
) -> None:
    """S12: not a second less; for ever when they say so."""
    wanted = "copy_released" if is_released else ""
    assert decided(HELD, later(after_s, keep_s)) == wanted


def test_a_copy_outlives_every_lack_of_redundancy() -> None:
    """S12: while an instance that may be main, or the one whose data they were, does not hold every
    write, nothing is released, however old it is."""
    old = later(10 * KEEP_S)
    alone = evolve(DEGRADED, set_aside=(COPY,))
    assert decided(alone, old) != "copy_released"
    three = evolve(old, policy=evolve(KEPT, eligible=(A, B, C)))
    fact = redundancy_is_whole(Situation(HELD, three, C, "12"))
    assert (fact.ok, fact.is_pending) == (False, True)
    unread = evolve(HELD, readers=frozenset({B}))
    recovering = row(NAME_C, C, Mode.ASYNC, status=RowStatus.RECOVERY)
    behind = evolve(old, instances=(seen(A, Role.MAIN, (ROWS[0], recovering)), SYNC, OTHER))
    assert "memgraph-2" in why_not(unread, behind, "copy_released").saw


@pytest.mark.parametrize("verdict", ["unknown", "at most 1 transaction a writer"])
def test_what_may_be_the_last_trace_waits_for_a_person(verdict: str) -> None:
    """S12, S13: where acknowledged writes may be missing, only an acknowledgement lets it go; and
    the refusal is shown, but is no problem of its own."""
    suspect = evolve(HELD, set_aside=(evolve(COPY, verdict=verdict),))
    refusal = why_not(suspect, later(KEEP_S), "copy_released")
    assert (refusal.guard, refusal.is_pending) == ("loss_was_looked_at", True)
    assert verdict in refusal.saw
    seen = fold(suspect, event(e.CooldownLifted("r-1"), OP, OP))
    assert decided(seen, later(KEEP_S)) == "copy_released"


def reset(at_s: int, verdict: str = "none") -> Cluster:
    """A cluster after a finished reset of memgraph-2, ordered by entry 12."""
    refused = (Refused(C, Term(3), "Error: 3", token=12),)
    names = OPERATIONAL.registrations[:1]
    ordered = evolve(OPERATIONAL, refused=refused, registrations=names, verdict=verdict)
    return fold(ordered, event(e.ResetDone(C, at_s), OP, OP))


def test_a_finished_reset_leaves_a_copy_with_its_verdict() -> None:
    """The ledger knows it by the entry that ordered it, from then on."""
    assert reset(AT_S, "unknown").set_aside == (SetAside(C, 12, AT_S, "unknown"),)


def test_entries_from_before_copies_had_an_end_leave_none() -> None:
    """Their age is not known: those copies stay until a person removes them, and old ledgers fold
    to what they always did."""
    assert reset(0).set_aside == ()
    never_ordered = event(e.ResetDone(C, AT_S), OP, OP)
    assert fold(OPERATIONAL, never_ordered).set_aside == ()


def test_the_oldest_copies_are_forgotten_first() -> None:
    """The ledger's snapshot stays small; what is forgotten is never released."""
    many = tuple(evolve(COPY, token=n) for n in range(SET_ASIDE_MAX))
    refused = (Refused(C, Term(3), "Error: 3", token=99),)
    full = evolve(OPERATIONAL, refused=refused, set_aside=many)
    kept = fold(full, event(e.ResetDone(C, AT_S), OP, OP)).set_aside
    assert len(kept) == SET_ASIDE_MAX
    assert (kept[0].token, kept[-1].token) == (1, 99)


RELEASED = event(e.CopyReleased(C, 12), OP, OP)


def test_a_release_names_one_copy() -> None:
    """All others stay."""
    other = evolve(COPY, token=13)
    after = fold(evolve(HELD, set_aside=(COPY, other)), RELEASED)
    assert after.set_aside == (evolve(COPY, is_released=True), other)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (OPERATIONAL, "no such copy"),
        (evolve(HELD, set_aside=(evolve(COPY, is_released=True),)), "no such copy"),
        (evolve(HELD, refused=(Refused(C, Term(3), "Error: 3"),)), "refused again"),
        (evolve(HELD, set_aside=(evolve(COPY, verdict="unknown"),)), "may be the last one"),
    ],
    ids=["unknown", "twice", "refused", "suspect"],
)
def test_a_release_that_must_not_be_stops_everything(before: Cluster, says: str) -> None:
    """Also one that a later program, or a hand, has put into the ledger."""
    with pytest.raises(InvariantViolated, match=says):
        fold(before, RELEASED)


def test_nothing_else_releases_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that did so by mistake would open no route."""
    from statemachine.evolve import FOLDS

    def mistaken(c: Cluster, p: e.ReadersChanged) -> Cluster:
        return evolve(c, set_aside=(evolve(COPY, is_released=True),))

    monkeypatch.setitem(FOLDS, e.ReadersChanged, mistaken)
    with pytest.raises(InvariantViolated, match="readers_changed released"):
        fold(HELD, event(e.ReadersChanged(frozenset()), OP, OP))


def test_no_release_with_one_copy_of_every_write() -> None:
    """The phase says it already; the invariant does not lean on that."""
    from statemachine.invariants import copies_outlive_their_need

    alone = evolve(HELD, sync=frozenset({A}))
    after = evolve(alone, set_aside=(evolve(COPY, is_released=True),))
    assert "one copy" in copies_outlive_their_need(alone, RELEASED, after)


def test_each_leader_tells_the_init_container_once() -> None:
    """All that is released, so that a lost or doubled write of the list changes nothing."""
    done = tuple(evolve(COPY, token=n, is_released=True) for n in (12, 15))
    cluster = evolve(HELD, set_aside=(*done, evolve(COPY, token=16)), seq=Seq(30))
    told = ReleaseCopies(C, (12, 15), cluster.term)
    now = later(0)
    assert told in plan(cluster, now)
    now = observe(now, CommandEnded(told, now.now_s, Outcome.DONE, "", None, now.now_s))
    assert told not in plan(cluster, now)
    failed = CommandEnded(told, now.now_s, Outcome.UNKNOWN, "lost", None, now.now_s)
    assert told in plan(cluster, observe(later(0), failed))
    next_one = observe(now, LeadershipChanged(now.now_s, now.identity))
    assert told in plan(cluster, next_one)
