"""The rule table as a machine of `transitions`: what replay is checked against, and what is drawn.

Promise: it has the table's edges and no other, and drives nothing. Which row is taken is decided by
`decide`, from the same table.
"""

from collections.abc import Callable
from functools import cache

from transitions import Machine

from statemachine.events import BY_TRIGGER
from statemachine.facts import Situation
from statemachine.guards import Guard
from statemachine.ids import Phase
from statemachine.rules import RULES


class IllegalTransition(Exception):
    """A bug, or a history that was not written by this table: there is no such row."""


def transition_rows(
    conditions: Callable[[Guard], Callable[[object], bool]] | None = None,
) -> list[dict[str, object]]:
    """The table in the form that `transitions` takes; `conditions` adapts our guards to it."""
    return [
        {
            "trigger": rule.trigger,
            "source": source,
            "dest": rule.target(source),
            "conditions": [conditions(x) for x in rule.guards] if conditions else [],
        }
        for rule in RULES
        for source in rule.sources
    ]


def _condition(guard: Guard) -> Callable[[object], bool]:
    def ask(event: object) -> bool:
        situation: Situation = event.kwargs["situation"]  # type: ignore[attr-defined]
        return guard(situation).ok

    ask.__name__ = guard.__name__
    return ask


@cache
def machine() -> Machine:
    """The `transitions` machine of the table, used as a pure lookup and to draw it; it drives no
    model, so that nothing in here remembers a phase."""
    return Machine(
        model=None,
        states=Phase,
        initial=Phase.BOOTSTRAP,
        transitions=transition_rows(_condition),
        auto_transitions=False,
        send_event=True,
    )


@cache
def edge_exists(trigger: str, source: Phase, dest: Phase) -> bool:
    """Whether some row leads from `source` to `dest` by this trigger."""
    if trigger not in BY_TRIGGER:
        return False
    found = machine().get_transitions(trigger, source=source, dest=dest)
    return bool(found)
