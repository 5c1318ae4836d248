"""Planned changes in virtual time: pods that are deleted, one after the other, and what breaks
half-way. The preStop hook is played by a loop that asks the same question."""

from typing import Any

import pytest
import trio
from test_interrupted import check_world, interrupt, settled
from test_pod_flow import LIMIT_S, POLICY, Scene, operational

from controller.gateways import Kind
from statemachine.ids import Instance, Phase
from statemachine.prestop import may_stop
from statemachine.view import Policy

GAP_S = 0.5  # the longest time without an open gateway within a planned change


async def stop_when_safe(scene: Scene, name: str) -> None:
    """Delete the pod, wait as its hook does, and replace it."""
    scene.world.delete(name)

    def is_safe() -> bool:
        pods = [scene.pods[p] for p in scene.gateways]
        return any(may_stop(p.loop.cluster, p.loop.view, Instance(name)).is_safe for p in pods)

    await scene.wait(is_safe, f"{name} may stop")
    scene.world.replace(name)


def is_whole(scene: Scene) -> bool:
    """OPERATIONAL, and everybody registered again."""
    return scene.cluster.phase is Phase.OPERATIONAL and len(scene.cluster.readers) == 2


class Watch:
    """The longest time in which no gateway was open for writes."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.longest_s, self.since_s = scene, 0.0, trio.current_time()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            now_s = trio.current_time()
            if any(g.writable() for g in self.scene.gateways.values()):
                self.since_s = now_s
            self.longest_s = max(self.longest_s, now_s - self.since_s)
            await trio.sleep(0.005)


@pytest.mark.parametrize("renewal", ["eager", "lazy", "off"])
async def test_rolling_restarts_hand_over(autojump_clock: Any, nursery: Any, renewal: str) -> None:
    """Pods are deleted in the order 2, 1, 0, twice: nobody is ever lost or refused, writes pause
    for planned changes alone, and never for long (scenarios 73, 75)."""
    scene = Scene(nursery)
    scene.policy = type(scene.policy)(eligible=scene.policy.eligible, renewal=renewal)
    with trio.fail_after(6 * LIMIT_S):
        await operational(scene)
        await scene.wait(lambda: is_whole(scene), "whole")
        begun = len(scene.triggers())
        watch = Watch(scene)
        nursery.start_soon(watch.run)
        for name in ("memgraph-2", "memgraph-1", "memgraph-0") * 2:
            await stop_when_safe(scene, name)
            await scene.wait(lambda: is_whole(scene), "whole")
        happened = scene.triggers()[begun:]
        assert {"main_lost", "instance_refused", "candidate_lost"}.isdisjoint(happened)
        assert happened.count("switchover_started") == 3
        assert watch.longest_s < GAP_S
        check_world(scene)
        nursery.cancel_scope.cancel()


async def test_stopping_a_mere_replica_touches_no_writer(autojump_clock: Any, nursery: Any) -> None:
    """RW keeps its term while an asynchronous replica restarts (scenario 75)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        await scene.wait(lambda: is_whole(scene), "whole")
        routes = {n: dict(g.routes) for n, g in scene.gateways.items()}
        await stop_when_safe(scene, "memgraph-2")
        await trio.sleep(5)
        for name, gateway in scene.gateways.items():
            assert gateway.routes[Kind.RW] == routes[name][Kind.RW]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("events", range(7))
async def test_a_switchover_is_finished_by_a_new_leader(
    autojump_clock: Any, nursery: Any, events: int
) -> None:
    """The leader dies after any event of a planned change: another one carries it through, and the
    hook that waits meanwhile is answered (scenario 78)."""
    scene = Scene(nursery)
    with trio.fail_after(4 * LIMIT_S):
        await operational(scene)
        nursery.start_soon(stop_when_safe, scene, "memgraph-0")
        await interrupt(scene, events)
        await scene.wait(lambda: scene.world.instances[Instance("memgraph-0")].pods == 2, "new pod")
        await settled(scene)
        check_world(scene)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("victim", ["memgraph-0", "memgraph-1"])
@pytest.mark.parametrize("events", range(6))
async def test_either_side_of_a_switchover_may_die(
    autojump_clock: Any, nursery: Any, events: int, victim: str
) -> None:
    """Old main or candidate is killed after any event of a planned change: one of the two serves,
    nobody is promoted while another is routed to, and it gets redundant again."""
    scene = Scene(nursery)
    with trio.fail_after(4 * LIMIT_S):
        await operational(scene)
        wanted = len(scene.triggers()) + events
        scene.world.delete("memgraph-0")
        while len(scene.triggers()) < wanted:
            await trio.sleep(0.0005)
        scene.world.kill(victim)
        await trio.sleep(1)
        scene.world.replace(victim)
        if victim == "memgraph-1":
            scene.world.instances[Instance("memgraph-0")].is_deleting = False
            scene.world.stir()
        await scene.wait(lambda: is_whole(scene), "whole")
        check_world(scene)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("events", range(5))
async def test_a_reset_is_finished_by_a_new_leader(
    autojump_clock: Any, nursery: Any, events: int
) -> None:
    """The leader dies after any event of a reset: the order is void in the next term, and the
    instance is rebuilt all the same; only it was ever restarted (S12)."""
    scene = Scene(nursery, Policy(eligible=POLICY.eligible, reset="always"))
    with trio.fail_after(8 * LIMIT_S):
        await operational(scene)
        scene.world.instances[Instance("memgraph-2")].nodes = 5
        await scene.wait(lambda: is_whole(scene), "whole")
        old = scene.world.instances[Instance("memgraph-0")]
        scene.world.kill("memgraph-0")
        old.refuses_registration = 3
        await scene.wait_writable("memgraph-1")
        restarts = {i.name: i.restarts for i in scene.world.instances.values()}
        scene.world.restart("memgraph-0")
        await scene.wait(lambda: "instance_refused" in scene.triggers(), "refused")
        await interrupt(scene, events)
        await scene.wait(lambda: is_whole(scene), "whole")
        assert old.refuses_registration is None
        for name in ("memgraph-1", "memgraph-2"):
            now = scene.world.instances[Instance(name)].restarts
            assert now == restarts[Instance(name)]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("planned", [True, False])
async def test_a_planned_change_lets_requests_end(
    autojump_clock: Any, nursery: Any, planned: bool
) -> None:
    """Sessions are drained for a moment before a planned change, and cut at once in a failover;
    the deadline does not move while the change goes on."""
    scene = Scene(nursery)
    seen: dict[float | None, None] = {}
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        if planned:
            nursery.start_soon(stop_when_safe, scene, "memgraph-0")
        else:
            scene.world.kill("memgraph-0")
        while scene.gateways["controller-1"].writable() != "memgraph-1":
            route = scene.gateways["controller-1"].routes[Kind.RW]
            if not route.upstreams:
                seen[route.drain_until_s] = None
            await trio.sleep(0.0005)
        deadlines = [until_s for until_s in seen if until_s is not None]
        assert len(deadlines) == (1 if planned else 0)
        nursery.cancel_scope.cancel()
