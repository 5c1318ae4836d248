"""Folds of instances whose data the main does not accept: resets, and what these set aside."""

from collections.abc import Callable
from typing import Any

from statemachine import events as e
from statemachine.cluster import Cluster, Refused, SetAside
from statemachine.edits import change
from statemachine.ids import Instance

SET_ASIDE_MAX = 50  # copies remembered; what a pod lists of its own has the same limit


def _instance_refused(c: Cluster, p: e.InstanceRefused) -> Cluster:
    others = tuple(r for r in c.refused if r.instance != p.instance)
    names = tuple(r for r in c.registrations if r.name != p.name)
    refused = Refused(p.instance, c.term, p.text)
    return change(
        c, refused=(*others, refused), registrations=names, verdict=_amended(c, p.instance)
    )


def _amended(c: Cluster, instance: Instance) -> str:
    """A refused instance may hold what the main does not. After a change that was not drained that
    may be an acknowledged write: a main acknowledges also when the second phase of its commit was
    lost on the way to the replica, and may die right afterwards (S13, MEMGRAPH 3.6a). Drained
    changes that followed while it was away alter nothing."""
    is_innocent = c.is_main_drained and instance not in c.owing
    if is_innocent or c.verdict not in ("", "none"):
        return c.verdict
    return f"at most 1 transaction a writer: {instance} may hold what {c.main} does not"


def _reset_ordered(c: Cluster, p: e.ResetOrdered) -> Cluster:
    others = tuple(r for r in c.refused if r.instance != p.instance)
    known = c.refusal_of(p.instance) or Refused(p.instance, c.term, "asked for by a person")
    ordered = change(known, token=int(c.seq), term=c.term)
    names = tuple(r for r in c.registrations if r.instance != p.instance)
    readers = c.readers - {p.instance}
    return change(c, refused=(*others, ordered), registrations=names, readers=readers)


def _reset_cancelled(c: Cluster, p: e.ResetCancelled) -> Cluster:
    kept = tuple(change(r, token=0) if r.instance == p.instance else r for r in c.refused)
    return change(c, refused=kept)


def _reset_done(c: Cluster, p: e.ResetDone) -> Cluster:
    others = tuple(r for r in c.refused if r.instance != p.instance)
    copies = _with_copy(c, p.instance, p.at_s)
    return change(
        c,
        refused=others,
        lagging=c.lagging | {p.instance},
        set_aside=copies,
        owing=c.owing - {p.instance},
    )


def _with_copy(c: Cluster, instance: Instance, at_s: int) -> tuple[SetAside, ...]:
    """The copies known once this instance is back empty. One of unknown age is not among them, as
    in entries from before copies had an end: those stay until a person removes them."""
    refused = c.refusal_of(instance)
    if refused is None or not refused.token or not at_s:
        return c.set_aside
    copy = SetAside(instance, refused.token, at_s, c.verdict)
    return (*c.set_aside, copy)[-SET_ASIDE_MAX:]


def _copy_released(c: Cluster, p: e.CopyReleased) -> Cluster:
    known = c.copy_of(p.instance, p.token)
    return change(
        c,
        set_aside=tuple(change(s, is_released=True) if s == known else s for s in c.set_aside),
    )


OF_REFUSED: dict[type, Callable[[Cluster, Any], Cluster]] = {
    e.InstanceRefused: _instance_refused,
    e.ResetOrdered: _reset_ordered,
    e.ResetCancelled: _reset_cancelled,
    e.ResetDone: _reset_done,
    e.CopyReleased: _copy_released,
}
