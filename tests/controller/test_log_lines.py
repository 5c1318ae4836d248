"""The log tells the same story as the ledger: a line for each event and for each command."""

from typing import Any

import trio
from structlog.testing import capture_logs
from test_pod_flow import LIMIT_S, Scene, operational

from statemachine.ledger import fold


async def test_each_event_and_each_command_has_its_line(autojump_clock: Any, nursery: Any) -> None:
    """A failover of whole pods: every entry of the ledger is one `event` line of the leader with
    seq, term, phase, main, reason and the head's hash, in order; every command is one line with its
    kind, term, the seq at its time, outcome and duration; a standby writes neither twice."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S), capture_logs() as lines:
        await operational(scene)
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        nursery.cancel_scope.cancel()
    assert scene.world.stored is not None
    ledger = fold(scene.world.stored.data)
    events = [line for line in lines if line["event"] == "event"]
    assert [line["seq"] for line in events] == list(range(1, ledger.seq + 1))
    assert [line["on"] for line in events] == scene.triggers()
    last = events[-1]
    assert (last["head"], last["term"]) == (ledger.head, ledger.cluster.term)
    assert (last["phase"], last["main"]) == (ledger.cluster.phase.value, "memgraph-1")
    assert all(line["why"] for line in events)
    commands = [line for line in lines if line["event"] == "command"]
    promoted = [line for line in commands if line["command"] == "promote"]
    assert [line["instance"] for line in promoted] == ["memgraph-0", "memgraph-1"]
    assert all(line["outcome"] == "done" for line in promoted)
    for line in commands:
        assert {"term", "seq", "outcome", "took_s", "why"} <= line.keys()
        assert line["took_s"] >= 0
        before = next(e for e in reversed(events[: line["seq"]]) if e["seq"] <= line["seq"])
        assert line["term"] <= before["term"]
