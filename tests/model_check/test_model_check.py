"""The exhaustive check of the small worlds, and that it finds what it is there to find."""

import pytest
from mc_begin import operational
from mc_bounds import SMALL, Run
from mc_brain import Brain
from mc_explore import Exploration
from mc_main import explored
from mc_mutants import main_is_never_its_own_candidate
from mc_progress import stranded
from mc_steps import World
from mc_story import story
from mc_trial import switched_off
from mc_world import NOBODY, Budget, Physics

from statemachine import facts
from statemachine.ids import Phase

SECONDS_MAX = 250.0  # on a busy machine; a free one needs a tenth
IDLE = Run("two instances die while nobody writes", Budget(writes=0, crash=2))
QUICK = tuple(run for run in SMALL if run.budget.split == run.budget.depose == 0)


@pytest.mark.parametrize("run", QUICK, ids=lambda run: run.name)
def test_no_state_of_the_small_worlds_breaks_a_safety_rule(run: Run) -> None:
    """Every state that this many faults can lead to was seen, and none breaks a rule; and from each
    of them a way leads to OPERATIONAL without any further fault, also with one instance down for
    good, unless it held the last safe copy and the ledger says so. Of two mains without a ledger
    a person has to choose one."""
    found = explored(run, SECONDS_MAX)
    assert found.violation == "", "\n".join(story(found.world.brain, found.trace()))
    assert found.is_exhausted
    if run.begins == "two mains":
        phases = {found.world.brain.clusters.values[s.head].phase for s in found.states}
        assert phases == {Phase.BOOTSTRAP}
        return
    for dead in (NOBODY, *range(run.eligible)):
        lost = stranded(found, dead)
        assert lost.count == 0, "\n".join(story(found.world.brain, found.path(lost.first), True))


def test_a_main_that_may_not_follow_itself_strands_its_cluster() -> None:
    """F12: without that rule there are states from which no way leads on, and they are found."""
    with switched_off((main_is_never_its_own_candidate,)):
        found = explored(IDLE, SECONDS_MAX)
        assert found.violation == ""
        assert found.is_exhausted

        assert stranded(found, dead=1).count > 0


def test_promoting_before_the_gateways_have_cut_loses_a_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S4: when nobody waits for the gateways, one that has not cut yet gets a write acknowledged
    that another copy does not have; the search finds it, and tells it from the beginning."""
    monkeypatch.setattr(facts, "unfenced_gateways", lambda cluster, view: ())
    brain = Brain(eligible=2, instances=2)
    found = Exploration(World(brain))
    begin = operational(brain, Budget(writes=2, crash=1))
    found.run(begin, states_max=100_000, seconds_max=SECONDS_MAX)
    assert "acknowledged write 1" in found.violation
    lines = story(brain, found.trace())
    assert "becomes leader" in lines[0]
    assert "a client writes" in lines[-1]


def test_a_main_that_dies_in_the_finalize_hole_takes_a_write_with_it() -> None:
    """S13, a known gap: finalize is lost, the client has its acknowledgement, then the main dies;
    the verdict says "none" until the old main is refused, and is amended only then. All other runs
    leave this world out (Physics.torn_death)."""
    brain = Brain(eligible=2, instances=2)
    found = Exploration(World(brain, Physics(torn_death=True)))
    begin = operational(brain, Budget(writes=2, crash=1, hole=1))
    found.run(begin, states_max=60_000, seconds_max=SECONDS_MAX)
    assert "(loss verdict: none)" in found.violation
