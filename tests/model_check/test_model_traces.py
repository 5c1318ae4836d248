"""Each rule that a lost write has taught: with it nothing is lost, without it a write is."""

import pytest
from mc_asked import ASKED
from mc_traces import TRACES
from mc_trial import Trace, explored

from statemachine import rules

ALL = (*TRACES, *ASKED)
STATES_MAX = 3_000  # with the rule on; the worlds of mc_bounds are exhausted on demand


@pytest.mark.parametrize("trace", ALL, ids=lambda trace: trace.name)
def test_without_the_rule_a_write_is_lost(trace: Trace) -> None:
    """The world is true enough to punish a product without this rule."""
    found = explored(trace, is_off=True, states_max=120_000)
    assert found.violation, f"{trace.rule} is off, and {len(found.states)} states are well"
    assert trace.says in found.violation


@pytest.mark.parametrize("trace", ALL, ids=lambda trace: trace.name)
def test_with_the_rule_nothing_is_lost_there(trace: Trace) -> None:
    """In the same world, after the same beginning, the product keeps every promise."""
    found = explored(trace, is_off=False, states_max=STATES_MAX)
    assert found.violation == ""
    assert found.is_exhausted or len(found.states) >= STATES_MAX


def test_a_mutant_leaves_nothing_behind() -> None:
    """What one trace switches off is on again for the next."""
    before = rules.RULES
    explored(next(t for t in TRACES if t.name == "F9 unseen"), is_off=True, states_max=10)
    assert before is rules.RULES
