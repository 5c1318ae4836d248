"""What whole controller pods count, in virtual time."""

from typing import Any

import trio
from test_pod_flow import LIMIT_S, Scene, operational


async def test_probes_and_commands_of_a_live_pod_are_counted(
    autojump_clock: Any, nursery: Any
) -> None:
    """A whole pod on fakes: what its prober and its executor did stands in the tally, and the
    standby counts the same entries as the leader."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        await trio.sleep(1.0)
        leader, standby = (pod.tally for pod in scene.pods.values())
        assert leader.failovers == standby.failovers == {("main_refuses", "none"): 1}
        assert leader.events == standby.events
        assert leader.commands["promote", "done"] == 2
        assert not standby.commands
        for tally in (leader, standby):
            assert tally.probes["memgraph-1", "answered"] > 10
            assert tally.probes["memgraph-0", "refused"] > 2
            assert sum(tally.step_s["failover", "opened"].frozen().counts) == 1
        nursery.cancel_scope.cancel()
