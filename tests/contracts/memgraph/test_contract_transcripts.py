"""What a running Memgraph 3.6.1 answered, asked of every server again."""

import pytest
from contract_world import World
from deviations import TRANSCRIPT_DEVIATIONS
from fact_marks import seen
from transcript_replay import Replay, Scene, expectation, scenes

pytestmark = pytest.mark.process

RECORDED = (3, 6)


@seen("transcripts", releases=("3.6.1",))
@pytest.mark.parametrize("scene", list(scenes()), ids=lambda scene: scene.name.replace(" ", "-"))
async def test_a_recorded_exchange(world: World, scene: Scene) -> None:
    """Keys, rows, classes, texts and timestamps of every answer are those of the record; where the
    stand-in differs, it is in the table of deviations, and the table is exact."""
    if world.kind.is_real:
        (server,) = await world.start("which")
        release = await server.release()
        if release != RECORDED:
            pytest.skip(f"recorded on 3.6, this one is {release}: MEMGRAPH_BINARY of a 3.6 asks it")
    replay = Replay(world)
    await replay.run(scene)
    known = () if world.kind.is_real else TRANSCRIPT_DEVIATIONS.get(scene.name, ())
    assert replay.differences == list(known), "\n".join(replay.differences)


def test_the_table_names_scenes() -> None:
    """No deviation is kept of a scene that is gone."""
    assert set(TRANSCRIPT_DEVIATIONS) <= {scene.name for scene in scenes()}


def test_records_are_read_as_written() -> None:
    """Wildcards fit what they should, and nothing else."""
    keys, rows = expectation("['a', 'b'] [(1, ANY), ('x', {'s': LOST})]")
    assert (keys, [(1, object()), ("x", {"s": "recovery"})]) == (["a", "b"], rows)
    assert rows != [(2, 0), ("x", {"s": "recovery"})]
    assert rows != [(1, 0), ("x", {"s": "ready"})]
    assert expectation("ClientError 'no'") == ("ClientError", "no")


def test_a_replica_under_recovery_may_be_ready_already() -> None:
    """The copying is in a race with the question; the counts are exact in both answers."""
    _, (expected,) = expectation("['a'] [(RECOVERING(-40, 0),)]")
    assert expected == ({"behind": -40, "status": "recovery", "ts": 0},)
    assert expected == ({"behind": 0, "status": "ready", "ts": 40},)
    assert expected != ({"behind": 0, "status": "ready", "ts": 39},)
    assert expected != ({"behind": -40, "status": "ready", "ts": 0},)
    assert expected != ({"behind": -40, "status": "invalid", "ts": 0},)
