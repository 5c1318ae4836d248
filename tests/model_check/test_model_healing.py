"""Progress: from every state that the search finds, clients can write again once faults stop."""

import pytest
from mc_begin import operational
from mc_brain import Brain
from mc_explore import Exploration
from mc_healing import Healing
from mc_steps import World
from mc_story import story
from mc_world import NOBODY, Budget

EVERY = 20  # of the states found; `--heal` tries them all


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
