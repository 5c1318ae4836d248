"""Requests on whole controller pods, in virtual time: asked for, answered once, carried out."""

import json
from typing import Any

import pytest
import trio
from attrs import evolve
from test_pod_flow import LIMIT_S, POLICY, Scene, operational

from statemachine.observations import Request

NAMED = evolve(POLICY, cluster_name="graphs")


def request(scene: Scene, kind: str, request_id: str = "r-1", **fields: Any) -> Request:
    """A request that expires in a minute."""
    expires_s = scene.world.wall_s() + 60
    return Request(request_id, kind, author="alice", expires_s=expires_s, **fields)


async def answered(scene: Scene, request_id: str) -> str:
    """Wait for the answer and the removal; the trigger of the answer."""

    def gone() -> bool:
        return request_id not in scene.world.requests

    await scene.wait(lambda: request_id in scene.cluster.answered, f"an answer to {request_id}")
    await scene.wait(gone, f"the removal of {request_id}")
    return triggers_of(scene, request_id)[0]


def triggers_of(scene: Scene, request_id: str) -> list[str]:
    """The entries that answer it."""
    stored = scene.world.stored
    assert stored is not None
    entries = [answer_of_line(line) for line in stored.data.values()]
    return [on for on, asked in entries if asked == request_id]


def answer_of_line(line: str) -> tuple[str, str]:
    """Trigger, and the request that it answers."""
    entry = json.loads(line)
    return entry["on"], entry["data"].get("request", "")


async def test_a_switchover_is_carried_out_and_its_entry_removed(
    autojump_clock: Any, nursery: Any
) -> None:
    """One answer in the ledger, the named instance is main, every gateway follows; also when the
    first removals are lost, and when another pod leads meanwhile."""
    scene = Scene(nursery)
    scene.world.lost_closings = 2
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.ask(request(scene, "switchover", instance="memgraph-1"))
        assert await answered(scene, "r-1") == "switchover_started"
        scene.lead("controller-1")
        await scene.wait_writable("memgraph-1")
        assert triggers_of(scene, "r-1") == ["switchover_started"]
        assert "main_lost" not in scene.triggers()
        nursery.cancel_scope.cancel()


async def test_nothing_is_done_before_the_answer_is_in_the_ledger(
    autojump_clock: Any, nursery: Any
) -> None:
    """While the ledger cannot be written a request has no effect and is not removed (S1)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.dropped_puts = 1_000
        begun = len(scene.world.journal)
        scene.world.ask(request(scene, "switchover", instance="memgraph-1"))
        await scene.wait(lambda: scene.world.dropped_puts < 998, "lost writes")
        assert "r-1" not in scene.cluster.answered
        assert "r-1" in scene.world.requests
        assert not [t for _, t in scene.world.journal[begun:] if "demoted" in t or "closed" in t]
        scene.world.dropped_puts = 0
        await scene.wait_writable("memgraph-1")
        nursery.cancel_scope.cancel()


async def test_a_paused_cluster_fails_over_when_the_pause_is_over(
    autojump_clock: Any, nursery: Any
) -> None:
    """By people's clock, not by ours: a pause of a minute holds while the main is dead, and ends
    by itself."""
    scene = Scene(nursery)
    with trio.fail_after(3 * LIMIT_S):
        await operational(scene)
        scene.world.ask(request(scene, "pause", for_s=60.0, reason="a backup"))
        assert await answered(scene, "r-1") == "paused"
        paused_s = trio.current_time()
        scene.world.kill("memgraph-0")
        await scene.wait(lambda: trio.current_time() > paused_s + 50, "most of the pause")
        assert scene.triggers()[-1] == "paused"
        await scene.wait_writable("memgraph-1")
        assert 59 < trio.current_time() - paused_s < 65
        assert "resumed" in scene.triggers()
        nursery.cancel_scope.cancel()


async def test_a_request_for_later_is_granted_then(autojump_clock: Any, nursery: Any) -> None:
    """--at: by people's clock."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        at_s = scene.world.wall_s() + 20
        scene.world.ask(request(scene, "switchover", not_before_s=at_s))
        await scene.wait(lambda: scene.world.wall_s() > at_s - 1, "almost that time")
        assert "switchover_started" not in scene.triggers()
        await scene.wait_writable("memgraph-1")
        assert 0 <= scene.world.wall_s() - at_s < 3
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("confirm", "answer", "main"),
    [("graphs", "failover_forced", "memgraph-1"), ("grahps", "request_refused", "memgraph-0")],
)
async def test_data_loss_is_accepted_by_the_clusters_name(
    confirm: str, answer: str, main: str, autojump_clock: Any, nursery: Any
) -> None:
    """The release's name from the settings is what a person has to type."""
    scene = Scene(nursery, NAMED)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.ask(request(scene, "failover", instance="memgraph-1", confirm=confirm))
        assert await answered(scene, "r-1") == answer
        await scene.wait_writable(main)
        nursery.cancel_scope.cancel()


async def test_observing_by_the_settings_does_nothing(autojump_clock: Any, nursery: Any) -> None:
    """OBSERVE_ONLY: not even the first main is made; what would have been done is recorded."""
    scene = Scene(nursery, evolve(POLICY, observe_only=True))
    with trio.fail_after(LIMIT_S):
        await scene.start("controller-0")
        await scene.wait(lambda: "would_have" in scene.triggers(), "what would have been done")
        began_s = trio.current_time()
        await scene.wait(lambda: trio.current_time() > began_s + 20, "twenty seconds")
        assert scene.triggers().count("would_have") == 1
        assert not [t for _, t in scene.world.journal if "promoted" in t or "registered" in t]
        nursery.cancel_scope.cancel()
