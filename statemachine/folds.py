"""Folds that several events share, and those of events that people cause."""

from collections.abc import Callable
from typing import Any

from statemachine import events as e
from statemachine.cluster import Archived, Change, Cluster, Pause
from statemachine.edits import change
from statemachine.ids import Seq, Term


def next_term(cluster: Cluster) -> Term:
    return Term(cluster.term + 1)


def noted(c: Cluster, note: str) -> Cluster:
    return change(c, noted=c.noted | {note})


def refusal_key(trigger: str, candidate: str, guard: str) -> str:
    """Under which a refusal counts as the same one again."""
    return f"{trigger}/{candidate}/{guard}"


def closed(c: Cluster) -> Cluster:
    """RW closed by the entry being folded: gateways have to acknowledge it."""
    return change(c, rw_open=False, rw_closed_seq=c.seq)


RETIRED_MAX = 16  # numbers remembered until their deletion; two cuts name fewer


def ledger_archived(c: Cluster, p: e.LedgerArchived) -> Cluster:
    """What is retired goes from the front; a number that is missing between two others belongs to
    somebody else's history, and was passed over."""
    known = c.archived
    first = known.first if known else p.archive
    retired = (*(known.retired if known else ()), *p.retired)[-RETIRED_MAX:]
    if p.retired:
        first = max(first, *(number + 1 for number in p.retired))
    return change(c, archived=Archived(first, p.archive, Seq(p.upto), p.snapshot, retired))


def _failover_forced(c: Cluster, p: e.FailoverForced) -> Cluster:
    """The candidate counts as complete from here on, for a person says so; the members that do
    hold everything stay members, should the candidate die. Where there was no main yet, this is a
    change of main like any other from here on."""
    moved = Change(
        cause=p.cause,
        old_main=c.main,
        candidate=p.candidate,
        is_forced=True,
        verdict=p.verdict,
        was_silent=True,
        registered=c.registered,
    )
    return change(
        closed(c),
        term=next_term(c),
        is_fresh=False,
        change=moved,
        sync=c.sync | {p.candidate},
        readers=c.readers - {p.candidate},
        storage_uuid=c.storage_uuid or p.storage_uuid,
        refused=tuple(r for r in c.refused if r.instance != p.candidate),
        registrations=(),
        epoch_pods=tuple(pod for pod in c.unproven_pods if pod[0] != p.candidate),
    )


def _paused(c: Cluster, p: e.Paused) -> Cluster:
    return change(c, pause=Pause(p.author, p.reason, p.until_s))


def _resumed(c: Cluster, p: e.Resumed) -> Cluster:
    return change(c, pause=None)


def _observing_changed(c: Cluster, p: e.ObservingChanged) -> Cluster:
    return change(c, is_observed=p.is_on)


def _cooldown_lifted(c: Cluster, p: e.CooldownLifted) -> Cluster:
    """A person has looked: at the last failover, and at what it may have lost."""
    seen = tuple(change(s, is_acknowledged=True) for s in c.set_aside)
    return change(c, is_cooldown_lifted=True, set_aside=seen)


def _request_refused(c: Cluster, p: e.RequestRefused) -> Cluster:
    return c


def _would_have(c: Cluster, p: e.WouldHave) -> Cluster:
    return noted(c, refusal_key("would_have", p.candidate, p.trigger))


ASKED: dict[type, Callable[[Cluster, Any], Cluster]] = {
    e.FailoverForced: _failover_forced,
    e.Paused: _paused,
    e.Resumed: _resumed,
    e.ObservingChanged: _observing_changed,
    e.CooldownLifted: _cooldown_lifted,
    e.RequestRefused: _request_refused,
    e.WouldHave: _would_have,
}
