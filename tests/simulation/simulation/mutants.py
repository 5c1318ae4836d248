"""Mistakes that somebody could make in the product, planted one at a time: who notices?

What a newcomer gets wrong: guards are named in the rule table and asked by `plan` too; a mistake
that is planted in one place alone may be made good by the other.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from attrs import evolve

import statemachine.plan
import statemachine.proposals
import statemachine.rules
from statemachine import guards
from statemachine.facts import Situation
from statemachine.guards.base import Fact, Guard

Patch = Callable[[ExitStack], None]


def put(stack: ExitStack, where: Any, name: str, value: Any) -> None:
    """`where.name` is `value` while the stack is open."""
    stack.enter_context(mock.patch.object(where, name, value))


def instead(*replaced: tuple[Any, str, Any]) -> Patch:
    """A mistake that is other values in the place of some."""

    def plant(stack: ExitStack) -> None:
        for where, name, value in replaced:
            put(stack, where, name, value)

    return plant


def _yes(guard: Guard) -> Guard:
    def mutant(s: Situation) -> Fact:
        return evolve(guard(s), ok=True)

    mutant.__name__ = guard.__name__
    return mutant


def always(*names: str) -> Patch:
    """These guards say yes, wherever they are asked."""

    def plant(stack: ExitStack) -> None:
        mutants = {getattr(guards, name): _yes(getattr(guards, name)) for name in names}
        rules = tuple(
            evolve(r, guards=tuple(mutants.get(g, g) for g in r.guards))
            for r in statemachine.rules.RULES
        )
        put(stack, statemachine.rules, "RULES", rules)
        for guard, mutant in mutants.items():
            for room in (statemachine.plan, statemachine.proposals):
                if hasattr(room, guard.__name__):
                    put(stack, room, guard.__name__, mutant)
        statemachine.rules.rules_for.cache_clear()
        stack.callback(statemachine.rules.rules_for.cache_clear)

    return plant


def both(*patches: Patch) -> Patch:
    """All of these."""

    def plant(stack: ExitStack) -> None:
        for patch in patches:
            patch(stack)

    return plant


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The product with this one mistake."""
    from .mistakes import MUTANTS

    with ExitStack() as stack:
        MUTANTS[name](stack)
        yield
