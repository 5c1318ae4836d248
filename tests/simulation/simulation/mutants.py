"""Mistakes that somebody could make in the product, planted one at a time: who notices?

What a newcomer gets wrong: guards are named in the rule table and asked by `plan` too; a mistake
that is planted in one place alone may be made good by the other.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from attrs import evolve

import controller.gatekeeper
import controller.memgraph.instance
import statemachine.plan
import statemachine.proposals
import statemachine.rules
from statemachine import facts, guards
from statemachine.facts import Situation
from statemachine.guards.base import Fact, Guard

Patch = Callable[[ExitStack], None]


def _yes(guard: Guard) -> Guard:
    def mutant(s: Situation) -> Fact:
        return evolve(guard(s), ok=True)

    mutant.__name__ = guard.__name__
    return mutant


def _put(stack: ExitStack, where: Any, name: str, value: Any) -> None:
    stack.enter_context(mock.patch.object(where, name, value))


def _always(name: str) -> Patch:
    """The guard says yes, wherever it is asked."""

    def plant(stack: ExitStack) -> None:
        guard: Guard = getattr(guards, name)
        mutant = _yes(guard)
        rules = tuple(
            evolve(r, guards=tuple(mutant if g is guard else g for g in r.guards))
            for r in statemachine.rules.RULES
        )
        _put(stack, statemachine.rules, "RULES", rules)
        for room in (statemachine.plan, statemachine.proposals):
            if hasattr(room, name):
                _put(stack, room, name, mutant)
        statemachine.rules.rules_for.cache_clear()
        stack.callback(statemachine.rules.rules_for.cache_clear)

    return plant


def _no_fence(stack: ExitStack) -> None:
    """The old main is taken for harmless, whoever it is, and nobody waits for gateways."""
    _always("gateways_have_cut")(stack)
    _always("old_main_is_harmless")(stack)
    _put(stack, statemachine.proposals, "fence_proof", lambda s: "assumed")


def _acknowledge_before_the_cut(stack: ExitStack) -> None:
    """A pod says that it has cut when it has merely read the event."""
    plain = controller.gatekeeper.Gatekeeper.follow

    def follow(self: Any, cluster: Any, view: Any) -> None:
        self._marked = self._acked = max(self._acked, cluster.seq)
        if int(cluster.seq) % 2:
            plain(self, cluster, view)
        else:
            self._publish()

    _put(stack, controller.gatekeeper.Gatekeeper, "follow", follow)


def _any_identity(stack: ExitStack) -> None:
    """Storage UUIDs are not looked at."""
    _put(stack, facts, "is_ours", lambda cluster, view, instance: True)
    _always("subject_is_ours")(stack)
    _put(stack, controller.gatekeeper, "why_not_main", lambda cluster, answer: "")


def _no_verification(stack: ExitStack) -> None:
    """A gateway takes whoever answers at the main's address."""
    _put(stack, controller.gatekeeper, "why_not_main", lambda cluster, answer: "")
    _put(stack, controller.gatekeeper, "has_rows_for_sync_set", lambda cluster, rows: True)


def _outsider(stack: ExitStack) -> None:
    """Whoever answers may be candidate, in the sync set or not."""
    _always("in_sync_set")(stack)
    _put(stack, facts, "choose_candidate", _anybody)


def _anybody(cluster: Any, view: Any) -> Any:
    answering = [i.instance for i in view.instances if view.is_answering(i.instance)]
    return answering[-1] if answering else None


MUTANTS: dict[str, Patch] = {
    "nobody waits for the cut of the gateways": _always("gateways_have_cut"),
    "no fence at all": _no_fence,
    "a replica joins without proof": _always("sync_is_proven"),
    "identity is not checked": _any_identity,
    "an upstream is not verified": _no_verification,
    "acknowledged before the cut": _acknowledge_before_the_cut,
    "an outsider is promoted": _outsider,
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The product with this one mistake."""
    with ExitStack() as stack:
        MUTANTS[name](stack)
        yield
