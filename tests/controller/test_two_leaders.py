"""Two that lead at once, as after a hand took the leader's Lease: one of them stands aside."""

from typing import Any

import trio
from attrs import evolve
from test_pod_flow import LIMIT_S, Scene, make_stored, operational

from statemachine.codec import decode
from statemachine.decide import decide
from statemachine.events import Event, LeaderElected
from statemachine.ledger import fold


def write_a_barrier(scene: Scene, identity: str) -> None:
    """What the other leader's first turn leaves in the ledger."""
    pod = scene.pods["controller-1"]
    ledger = fold(scene.world.stored.data)  # type: ignore[union-attr]
    barrier = decide(ledger.cluster, evolve(pod.loop.view, identity=identity))
    assert isinstance(barrier, Event)
    written = ledger.append(barrier, at="", by="controller-1", entry_id="theirs")
    scene.world.stored = make_stored(scene, written.data)
    scene.world.stir()


async def test_who_is_succeeded_stands_aside(autojump_clock: Any, nursery: Any) -> None:
    """A leader that reads another's barrier behind its own ends that reign: it does not answer with
    a barrier of the same one, and sends nothing before it holds the Lease anew (S9)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.takes_back = False
        pod = scene.pods["controller-0"]
        ended: list[bool] = []
        plain = pod.loop.succeeded

        def succeeded() -> None:
            plain()
            ended.append(pod.loop.executor is None and not pod._reign_state.is_on())

        pod.loop.succeeded = succeeded
        write_a_barrier(scene, "controller-1/uid/1")
        await scene.wait(lambda: bool(ended), "it stands aside")
        assert ended == [True]
        await scene.wait(lambda: pod.loop.view.identity.endswith("/2"), "a second reign")
        await trio.sleep(1)
        assert leaders(scene)[-2:] == ["controller-1/uid/1", "controller-0/uid/2"]
        nursery.cancel_scope.cancel()


def leaders(scene: Scene) -> list[str]:
    """Whose barriers stand in the ledger."""
    lines = scene.world.stored.data.values()  # type: ignore[union-attr]
    payloads = [decode(line).event.payload for line in lines]
    return [payload.leader for payload in payloads if isinstance(payload, LeaderElected)]
