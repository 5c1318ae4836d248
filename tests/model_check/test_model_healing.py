"""Progress: from every state that the search finds, clients can write again once faults stop."""

import pytest
from mc_begin import operational
from mc_brain import Brain
from mc_explore import Exploration
from mc_healing import Healing
from mc_mutants import main_is_never_its_own_candidate
from mc_steps import World
from mc_story import story
from mc_trial import switched_off
from mc_world import NOBODY, Budget

EVERY = 5  # of the states found


@pytest.fixture(scope="module")
def one_dies() -> Exploration:
    """All states that one death of an instance leads to."""
    world = World(Brain(eligible=2, instances=2))
    found = Exploration(world)
    found.run(
        operational(world.brain, Budget(writes=2, crash=1)), states_max=200_000, seconds_max=120
    )
    assert found.is_exhausted
    return found


@pytest.mark.parametrize("dead", [NOBODY, 0, 1])
def test_every_state_comes_right(one_dies: Exploration, dead: int) -> None:
    """Also with one instance dead for good; closed is right only when it held the last copy."""
    healing = Healing(one_dies.world, dead)
    for state in one_dies.states[::EVERY]:
        path = healing.stuck(state)
        assert not path, "\n".join(story(one_dies.world.brain, path, with_states=True))


def test_a_main_that_may_not_follow_itself_stays_away_for_ever() -> None:
    """F12: the main comes back as REPLICA and the other copy is dead for good; it holds every
    write, and only a rule that lets it follow itself gives it back to clients."""
    world = World(Brain(eligible=2, instances=2))
    with switched_off((main_is_never_its_own_candidate,)):
        found = Exploration(world)
        begin = operational(world.brain, Budget(writes=2, crash=1))
        found.run(begin, states_max=3_000, seconds_max=60)
        healing = Healing(world, dead=1)
        assert any(healing.stuck(state) for state in found.states)
