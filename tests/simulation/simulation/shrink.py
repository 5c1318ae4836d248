"""A failing plan made small: fewer faults, as long as it fails with the same kind of sentence.

What a newcomer gets wrong: a smaller plan has another history (the dice roll differently), so that
"the same failure" means the same kind of sentence, not the same moment.
"""

import re
from collections.abc import Callable, Iterator

from attrs import evolve

from .plan import Plan

RUNS_MAX = 120


def kind_of(failure: str) -> str:
    """What fails, without numbers and names."""
    return re.sub(r"[\w-]*\d[\w-]*", "*", failure.partition("(")[0])[:60]


def shrink(plan: Plan, fails: Callable[[Plan], str], runs_max: int = RUNS_MAX) -> Plan:
    """The smallest plan found that `fails` with the same kind of sentence."""
    wanted = kind_of(fails(plan))
    runs = 1
    is_smaller = True
    while is_smaller and runs < runs_max:
        is_smaller = False
        for smaller in _smaller(plan):
            runs += 1
            if runs > runs_max:
                break
            if kind_of(fails(smaller)) == wanted:
                plan, is_smaller = smaller, True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Halves first, then single faults, then simpler ones."""
    count = len(plan.faults)
    size = count // 2
    while size >= 1:
        for start in range(0, count, size):
            yield evolve(plan, faults=plan.faults[:start] + plan.faults[start + size :])
        size //= 2
    if plan.dead:
        yield evolve(plan, dead="")
    for index, fault in enumerate(plan.faults):
        if fault.when:
            simpler = evolve(fault, when="")
            yield evolve(plan, faults=(*plan.faults[:index], simpler, *plan.faults[index + 1 :]))
