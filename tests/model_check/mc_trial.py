"""A trace behind a safety rule: which rule, switched off, loses a write in which world.

Promise: with the product's verbs each world is exhausted (or explored as far as `states_max`)
without a violation; with the mutant the search finds one. `F..` are the numbers of the traces.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from mc_begin import BEGINNINGS, led
from mc_brain import Brain
from mc_explore import Exploration
from mc_mutants import Mutant, Patch
from mc_steps import World
from mc_world import Budget, Physics

STATES_MAX = 60_000
SECONDS_MAX = 250.0  # a free machine needs a few


NOTHING: dict[str, bool] = {}


@frozen
class Trace:
    """One rule (or physical promise), the faults under which it is needed, and what happens first
    (`script`) in both runs. `besides`: rules switched off in *both* runs, for two rules close the
    same hole; `physics`: of both runs; `broken`: of the run in which the rule is off,
    `script_off`: what happens first in that one, if it differs; `says`: a part of its complaint."""

    name: str
    rule: str
    faults: dict[str, int]
    mutants: tuple[Mutant, ...] = ()
    besides: tuple[Mutant, ...] = ()
    physics: dict[str, bool] = NOTHING
    broken: dict[str, bool] = NOTHING
    script: tuple[str, ...] = ()
    required: bool = False
    resets: bool = False
    people: tuple[str, ...] = ()
    instances: int = 2
    begins: str = "operational"
    script_off: tuple[str, ...] = ()
    says: str = ""


@contextmanager
def switched_off(mutants: tuple[Mutant, ...]) -> Iterator[None]:
    """The rules are off within; as they were afterwards."""
    before: list[tuple[Any, str, Any]] = []

    def patch(owner: Any, name: str, value: Any) -> None:
        before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    apply: Patch = patch
    try:
        for mutant in mutants:
            mutant(apply)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def explored(trace: Trace, is_off: bool, states_max: int = STATES_MAX) -> Exploration:
    """The trace's world, with its rule on or off."""
    mutants = (*trace.besides, *(trace.mutants if is_off else ()))
    brain = Brain(
        2,
        trace.instances,
        required=trace.required,
        resets=trace.resets,
        people=trace.people,
    )
    physics = Physics(**{**trace.physics, **(trace.broken if is_off else {})})
    brain.outlives = physics.outlives
    world = World(brain, physics)
    exploration = Exploration(world)
    with switched_off(mutants):
        begin = BEGINNINGS[trace.begins](brain, Budget(**{"crash": 0, **trace.faults}))
        script = trace.script_off if is_off and trace.script_off else trace.script
        begin = led(world, begin, *script)
        exploration.run(begin, states_max=states_max, seconds_max=SECONDS_MAX)
        exploration.remember()
    return exploration
