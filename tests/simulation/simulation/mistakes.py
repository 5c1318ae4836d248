"""The mistakes by name: those of DESIGN 11 and others that were made, each with the rule it breaks.

What a newcomer gets wrong: a mistake that another rule makes good is no mistake that anybody can
see; so each is planted deep enough to matter, and not deeper.
"""

import math
from typing import Any

import trio
from attrs import evolve

import controller.gatekeeper
import controller.memgraph.instance
import controller.pod
import controller.watches
import statemachine.evolve
import statemachine.folds_refused
import statemachine.plan
import statemachine.proposals
from controller.chronicle import Chronicle
from controller.errors import ControllerError, LedgerOutcomeUnknown
from controller.gatekeeper import Gatekeeper, Verified
from controller.kube import KubeTimes
from controller.kube.ledger_store import KubeLedgerStore
from controller.kube.parsing import stored_ledger_of
from controller.standing import Standing
from controller.verify import why_not_main
from gateway import Upstream
from statemachine import commands as c
from statemachine import facts
from statemachine import guards as g
from statemachine.events import MainPromoted
from statemachine.guards import fencing, redundancy
from statemachine.ids import Role
from statemachine.route import route
from statemachine.view import Unsettled

from . import cluster as world
from .mutants import Patch, always, both, instead, put
from .relay import Relay

GATE, PLAN = Gatekeeper, statemachine.plan


def _of(where: Any, name: str) -> Any:
    """A private function, as it is in the product: they have no other door."""
    return getattr(where, name)


# -- S1, S2: events first, one main a term


def _no_barrier(cluster: Any, view: Any) -> Any:
    return tuple(_of(PLAN, "_owed")(cluster, view)) if view.identity else ()


async def _append_hopefully(self: Any, event: Any, cut: Any = None) -> bool:
    entry_id = f"{int(self.ledger.seq):016x}"
    wanted = self.ledger.append(event, at=self._now(), by=self._by, entry_id=entry_id)
    wanted = wanted if cut is None else wanted.cut(cut)
    before, self.ledger = self.ledger, wanted
    try:
        self._stored = await self._write(wanted)
    except LedgerOutcomeUnknown:
        return True
    except ControllerError:
        self.ledger = before
        await self.read()
        return False
    return True


async def _replace_blindly(self: Any, base: Any, data: Any, annotations: Any) -> Any:
    body = self._body(data, annotations)
    return stored_ledger_of(await self._transport.request("PUT", self._path, None, body))


# -- S3: the sync set


def _joins_when_ready(s: Any, name: str) -> bool:
    main = s.cluster.change.candidate if s.cluster.change else s.cluster.main
    row = s.view.instance(main).row(name) if main else None
    return row is not None and row.is_in_sync


def _joins_at_once(s: Any, name: str) -> bool:
    return s.cluster.registration(name) is not None


def _proof(mutant: Any) -> Patch:
    return both(
        instead(
            (redundancy, "proof_of_sync", mutant),
            (statemachine.proposals, "proof_of_sync", mutant),
        )
    )


def _drops_members(cluster: Any, view: Any, main: Any) -> Any:
    for r in cluster.registrations:
        if r.is_joined and view.instance(main).unready_for_s(r.name, view.now_s) > 0.2:
            yield c.Drop(main, r.name, cluster.term)
    yield from _REGISTRATIONS(cluster, view, main)


_REGISTRATIONS = _of(PLAN, "_registrations")


def _anybody(cluster: Any, view: Any) -> Any:
    answering = [i.instance for i in view.instances if view.is_answering(i.instance)]
    return answering[-1] if answering else None


# -- S4, S5: fence before promote


def _promote_first(cluster: Any, view: Any) -> Any:
    change = cluster.change
    if change and not change.fence and view.answers_as(change.candidate, Role.REPLICA):
        yield c.Promote(change.candidate, cluster.term)
    yield from _CHANGE_MAIN(cluster, view)


_CHANGE_MAIN = _of(PLAN, "_change_main")


def _acknowledge_first(self: Any, cluster: Any, view: Any) -> None:
    """A pod says that it has cut when it has merely read the event, and cuts a little later."""
    if cluster.seq > self._acked:
        self._marked = self._acked = cluster.seq
        self.told_at_s = trio.current_time()
        self.standing.publish()
    if trio.current_time() - getattr(self, "told_at_s", 0.0) >= LATE_CUT_S:
        _FOLLOW(self, cluster, view)


LATE_CUT_S = 0.4
_FOLLOW = GATE.follow


# -- S6, S7: gateways


async def _pass_on_late(self: Any, session: Any) -> None:
    """The deadline is not looked at after a wait."""
    await self._freezer.wait_thawed(self.actor)
    if session.instance.process != session.process:
        self._cut(session)


async def _believe_the_watch(self: Any) -> float:
    """The fold of the watch is taken for the ledger's head."""
    self._loop.chronicle.was_read = True
    return trio.current_time()


async def _no_lease_first(self: Any) -> None:
    self._may_open, self._lease_at_s = True, math.inf


def _serve_for_ever(self: Any) -> None:
    self._gateways.serve_until(math.inf)


async def _verify_without_head(self: Any, target: Any) -> bool:
    reached = self._reach(target.instance)
    if reached is None:
        return False
    asked_at_s = trio.current_time()
    try:
        answer = await reached.probe()
    except ControllerError:
        return False
    if self._target != target or why_not_main(self._cluster, answer):
        return False
    upstream = Upstream(target.instance, answer.incarnation, target.host, self._bolt_port)
    self._verified = Verified(target, upstream, asked_at_s)
    self.follow(self._cluster, self._view)
    return True


def _no_first_wait(s: Any) -> Any:
    patient = evolve(s, view=evolve(s.view, gateways_watched_since_s=-math.inf))
    return _HAVE_CUT(patient)


_HAVE_CUT = fencing.gateways_have_cut


def _forgets_deleted(cluster: Any, view: Any) -> tuple[str, ...]:
    gone = tuple(x for x in view.gateways if not x.is_deleted)
    return _UNFENCED(cluster, evolve(view, gateways=gone))


_UNFENCED = facts.unfenced_gateways


def _rooms_of(guard: Any, mutant: Any) -> Patch:
    """A guard replaced in the table and in `plan`."""

    def plant(stack: Any) -> None:
        mutant.__name__ = guard.__name__
        rules = statemachine.rules.RULES
        put(
            stack,
            statemachine.rules,
            "RULES",
            tuple(
                evolve(r, guards=tuple(mutant if x is guard else x for x in r.guards))
                for r in rules
            ),
        )
        if hasattr(PLAN, guard.__name__):
            put(stack, PLAN, guard.__name__, mutant)
        statemachine.rules.rules_for.cache_clear()
        stack.callback(statemachine.rules.rules_for.cache_clear)

    return plant


# -- S8 to S12


def _never_in_doubt(**given: Any) -> KubeTimes:
    times = KubeTimes(**given)
    object.__setattr__(times, "renew_deadline_s", 3600.0)  # which no setting allows
    return times


def _fold_open(cluster: Any, payload: Any) -> Any:
    return evolve(_PROMOTED(cluster, payload), rw_open=True)


_PROMOTED = statemachine.evolve.FOLDS[MainPromoted]


async def _no_pin(self: Any, link: Any) -> None:
    return


def _may_read_anybody(self: Any, instance: Any, role: Any, answer: Any, view: Any) -> bool:
    return bool(self.standing.may_open)


def _any_target(routes: Any, cluster: Any) -> Any:
    return evolve(routes, readers=routes.readers | cluster.sync)


def _reads_from_all(cluster: Any, view: Any) -> Any:
    return _any_target(_ROUTE(cluster, view), cluster)


_ROUTE = route
_NAME = facts.registration_name

MUTANTS: dict[str, Patch] = {
    "no barrier of a new leader": instead((controller.loop, "plan", _no_barrier)),
    "a lost answer of an append counts as done": instead((Chronicle, "append", _append_hopefully)),
    "no compare-and-set": instead((KubeLedgerStore, "replace", _replace_blindly)),
    "an outsider is promoted": both(
        always("in_sync_set"), instead((facts, "choose_candidate", _anybody))
    ),
    "no marker": _proof(_joins_when_ready),
    "the sync set grows before ready": _proof(_joins_at_once),
    "dropped before sync_lost": instead((PLAN, "_registrations", _drops_members)),
    "nobody waits for the cut of the gateways": always("gateways_have_cut"),
    "no fence at all": both(
        always("gateways_have_cut", "old_main_is_harmless"),
        instead((statemachine.proposals, "fence_proof", lambda s: "assumed")),
    ),
    "promoted before the fence": instead((PLAN, "_change_main", _promote_first)),
    "acknowledged before the cut": instead((GATE, "follow", _acknowledge_first)),
    "the deadline is checked after forwarding": instead((Relay, "_pass_on", _pass_on_late)),
    "no self-fence": instead(
        (Standing, "_prolong", lambda self: self._gateways.serve_until(math.inf))
    ),
    "a Lease that lapsed counts as before": instead((Standing, "_revive", lambda self: None)),
    "a gateway starts from a cached ledger": both(
        instead(
            (controller.watches.Watches, "read_head", _believe_the_watch),
        )
    ),
    "a gateway opens before its Lease exists": instead((Standing, "obtain", _no_lease_first)),
    "the head is not read after the dial": instead((GATE, "_verify", _verify_without_head)),
    "an upstream is not verified": instead(
        (controller.gatekeeper, "why_not_main", lambda cluster, answer: ""),
        (controller.gatekeeper, "has_rows_for_sync_set", lambda cluster, rows: True),
    ),
    "a new leader does not wait for unknown gateways": _rooms_of(
        g.gateways_have_cut, _no_first_wait
    ),
    "a deleted gateway Lease counts as cut": instead(
        (facts, "unfenced_gateways", _forgets_deleted)
    ),
    "a gateway is taken for expired at once": instead(
        (facts, "is_expired", lambda view, gw: view.now_s - gw.changed_at_s > 0.3)
    ),
    "names have no generation": instead(
        (facts, "registration_name", lambda instance, generation: _NAME(instance, 1))
    ),
    "a role command of another term is sent": instead(
        (controller.pod.Reign, "present_term", lambda self: None)
    ),
    "a second role command while one is unsettled": instead(
        (PLAN, "_may_command", lambda view, instance: view.is_answering(instance))
    ),
    "one restart more settles a role command": instead(
        (Unsettled, "is_over", lambda self, pod: pod is None or pod.restarts > self.restarts)
    ),
    "a leader goes on without its Lease": instead(
        (controller.pod.Reign, "is_on", lambda self: True),
        (world, "KubeTimes", _never_in_doubt),
    ),
    "identity is not checked": both(
        always("subject_is_ours", "subject_is_safe"),
        instead(
            (facts, "is_ours", lambda cluster, view, instance: True),
            (controller.gatekeeper, "why_not_main", lambda cluster, answer: ""),
        ),
    ),
    "the epoch is not pinned": instead(
        (controller.memgraph.instance.BoltInstance, "_pin", _no_pin)
    ),
    "main_promoted before anybody was promoted": both(
        always("candidate_is_promoted"),
        instead((PLAN, "_is_promoted", lambda cluster, view, i: view.answers_as(i, Role.MAIN))),
    ),
    "a member of the sync set is reset": always(
        "subject_is_expendable", "reset_is_allowed", "reset_is_due"
    ),
    "required opens with one copy": instead(
        (statemachine.evolve, "FOLDS", {**statemachine.evolve.FOLDS, MainPromoted: _fold_open})
    ),
    "a drained change forgets who may hold a loss": instead(
        (statemachine.evolve, "_known", lambda cluster: frozenset())
    ),
    "a refusal amends no verdict": instead(
        (statemachine.folds_refused, "_amended", lambda cluster, instance: cluster.verdict)
    ),
    "the verdict is always none": instead((statemachine.proposals, "verdict", lambda *_: "none")),
    "read-only sessions reach the main": both(
        instead(
            (GATE, "_may_read", _may_read_anybody),
            (controller.gatekeeper, "route", _reads_from_all),
        )
    ),
    "clocks whose rates are out of bounds": instead((world, "DRIFT_MAX", 0.5)),
    "a pause is not kept": instead((facts, "is_idle", lambda cluster, view: False)),
}
