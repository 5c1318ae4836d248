"""S9: when a role command whose answer was lost can surely not be carried out any more.

The pod watch is late: what it shows as one restart more may be the very process that the command
went to. So a restart counts only together with a refused dial, and without one the second does.
"""

import pytest
from attrs import evolve
from sights import FENCED, MAIN, NOW_S, OTHER, SYNC, B, failing, pod, view

from statemachine.commands import EndIncarnation, Promote
from statemachine.ids import Incarnation
from statemachine.observations import (
    CommandEnded,
    Failure,
    Observation,
    Outcome,
    PodFacts,
    PodsListed,
    ProbeFailed,
)
from statemachine.observe import observe
from statemachine.plan import UNSETTLED_S, plan
from statemachine.view import InstanceView, View

POD = pod(B)
GONE = failing(MAIN, Failure.REFUSED, 9.0)
LOST = CommandEnded(
    Promote(B, FENCED.term), NOW_S, Outcome.UNKNOWN, "", None, NOW_S, Incarnation(0)
)


def refused(asked_at_s: float = NOW_S + 0.1) -> Observation:
    """A dial found nobody there."""
    return ProbeFailed(B, asked_at_s, asked_at_s, Failure.REFUSED)


SILENT = ProbeFailed(B, NOW_S + 0.1, NOW_S + 2, Failure.SILENT)


def listed(pod_now: PodFacts | None) -> Observation:
    """The pods, by the pod watch."""
    return PodsListed(NOW_S + 0.2, () if pod_now is None else (pod_now,), ())


def restarted(times: int) -> Observation:
    """The same pod, its container that many times more restarted."""
    return listed(evolve(POD, restarts=POD.restarts + times))


def after(*seen: Observation) -> InstanceView:
    """B, after the answer to its promotion was lost and all this was seen."""
    now: View = view(GONE, evolve(SYNC, pod=POD), OTHER)
    for observation in (LOST, *seen):
        now = observe(now, observation)
    return now.instance(B)


@pytest.mark.parametrize(
    "seen",
    [
        (),
        (refused(),),
        (restarted(1),),
        (SILENT, restarted(1)),
        (refused(asked_at_s=NOW_S - 0.1), restarted(1)),
    ],
    ids=["nothing", "refused", "one restart", "silent, one restart", "refused before, one restart"],
)
def test_it_may_still_be_carried_out(seen: tuple[Observation, ...]) -> None:
    """Each of these may be seen while the process that has the command lives."""
    assert after(*seen).unsettled is not None


@pytest.mark.parametrize(
    "seen",
    [
        (refused(), restarted(1)),
        (restarted(1), refused()),
        (restarted(2),),
        (restarted(1), restarted(2)),
        (listed(evolve(POD, uid="another")),),
        (listed(None),),
    ],
    ids=[
        "refused, one restart",
        "one restart, refused",
        "two restarts",
        "two restarts, one by one",
        "another pod",
        "no pod",
    ],
)
def test_its_process_has_surely_ended(seen: tuple[Observation, ...]) -> None:
    """None of these can be seen of a process that lives."""
    assert after(*seen).unsettled is None


def test_what_is_not_settled_in_time_is_ended() -> None:
    """A restart that nobody saw refused settles nothing, so that the pod is ended for it."""
    now = view(GONE, after(restarted(1)), OTHER)
    assert not any(isinstance(c, EndIncarnation | Promote) for c in plan(FENCED, now))
    later = evolve(now, now_s=NOW_S + UNSETTLED_S)
    assert EndIncarnation(B, POD.uid, FENCED.term) in plan(FENCED, later)
