"""Interrupted transitions: the leader dies after every single event of a failover, of a renewal and
of a bootstrap, and a new process with nothing but the ledger finishes."""

from typing import Any

import pytest
import trio
from test_pod_flow import LIMIT_S, Scene, operational

from statemachine.ids import Instance, Phase, Role


def check_world(scene: Scene) -> None:
    """In the world's own book: nobody is promoted while a gateway routes to another instance."""
    open_to: dict[str, str] = {}
    for _, text in scene.world.journal:
        words = text.split()
        if "routes" in words:
            open_to[words[0]] = words[4]
        elif words[0] == "promoted":
            alive = {pod for pod in open_to if pod in scene.gateways}
            others = {open_to[pod] for pod in alive} - {words[1], "nobody"}
            assert not others, f"{text} while gateways route to {others}"


async def interrupt(scene: Scene, events: int) -> None:
    """The leader dies when `events` more events are in the ledger; another one takes over."""
    wanted = len(scene.triggers()) + events
    with trio.move_on_after(10):
        while len(scene.triggers()) < wanted:
            await trio.sleep(0.0005)
    scene.kill("controller-0")
    await scene.start("controller-2")
    await trio.sleep(6)
    scene.lead("controller-2")


async def settled(scene: Scene) -> None:
    """The new leader has got the cluster OPERATIONAL, and every gateway routes to its main."""

    def holds() -> bool:
        cluster = scene.cluster
        writable = {g.writable() for g in scene.gateways.values()}
        mains = {i.name for i in scene.world.instances.values() if i.role is Role.MAIN}
        leads = cluster.leader.startswith("controller-2")
        done = cluster.phase is Phase.OPERATIONAL and writable == mains == {cluster.main}
        return leads and done and all(i.is_up for i in scene.world.instances.values())

    await scene.wait(holds, "OPERATIONAL under the new leader")


@pytest.mark.parametrize("events", range(7))
async def test_failover_is_finished_by_a_new_leader(
    autojump_clock: Any, nursery: Any, events: int
) -> None:
    """Whatever was appended and commanded before, writes go on with one main, then redundantly, and
    the old main is a replica (scenario 28)."""
    scene = Scene(nursery)
    with trio.fail_after(3 * LIMIT_S):
        await operational(scene)
        scene.world.kill("memgraph-0")
        await interrupt(scene, events)
        scene.world.restart("memgraph-0")
        await settled(scene)
        check_world(scene)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("events", range(6))
async def test_renewal_is_finished_by_a_new_leader(
    autojump_clock: Any, nursery: Any, events: int
) -> None:
    """A renewal that lost its leader half-way ends with an open main and two complete copies."""
    scene = Scene(nursery)
    with trio.fail_after(3 * LIMIT_S):
        await operational(scene)
        scene.world.kill("memgraph-1")
        scene.world.restart("memgraph-1")
        await interrupt(scene, events)
        await settled(scene)
        assert len(scene.cluster.sync) == 2
        check_world(scene)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("events", range(5))
async def test_main_dies_within_a_renewal(autojump_clock: Any, nursery: Any, events: int) -> None:
    """The main that is renewed dies for good at any step: the sync holds everything and follows."""
    scene = Scene(nursery)
    with trio.fail_after(3 * LIMIT_S):
        await operational(scene)
        scene.world.kill("memgraph-1")
        scene.world.restart("memgraph-1")
        wanted = len(scene.triggers()) + events
        while len(scene.triggers()) < wanted:
            await trio.sleep(0.0005)
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        assert scene.cluster.main == "memgraph-1"
        check_world(scene)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("events", range(1, 6))
async def test_bootstrap_is_finished_by_a_new_leader(
    autojump_clock: Any, nursery: Any, events: int
) -> None:
    """A fresh cluster whose first leader dies becomes OPERATIONAL with the instance appointed."""
    scene = Scene(nursery)
    with trio.fail_after(3 * LIMIT_S):
        await scene.start("controller-0")
        await interrupt(scene, events)
        await settled(scene)
        assert scene.cluster.main == "memgraph-0"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("lost", range(1, 4))
async def test_lost_replies_of_role_commands(autojump_clock: Any, nursery: Any, lost: int) -> None:
    """A promotion without an answer is not repeated on the same process: that process is ended, and
    the failover goes on (S9)."""
    scene = Scene(nursery)
    with trio.fail_after(3 * LIMIT_S):
        await operational(scene)
        scene.world.instances[Instance("memgraph-1")].lost_replies = lost
        scene.world.kill("memgraph-0")
        await trio.sleep(1)
        promoted = [t for _, t in scene.world.journal if t.startswith("promoted memgraph-1")]
        assert len(promoted) == 1
        scene.world.restart("memgraph-0")
        await scene.wait_phase(Phase.OPERATIONAL)
        check_world(scene)
        nursery.cancel_scope.cancel()
