"""Incidents that must never happen again, on real processes: controllers are the real program, the
database and Kubernetes are stand-ins."""

import json
import signal
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any

import neo4j
import pytest
import trio
from neo4j.exceptions import Neo4jError

from controller.sandbox import objects
from controller.sandbox.world import Sandbox, SandboxOptions, open_sandbox

pytestmark = pytest.mark.process
LIMIT_S = 240.0  # of a hang; figures are taken by the demo
WHOLE_S = 120.0
CONTROLLER = "controller-0"


def query(address: str, text: str, **parameters: Any) -> list[Any]:
    """Rows of one auto-commit query."""
    with (
        neo4j.GraphDatabase.driver(f"bolt://{address}", auth=None, connection_timeout=3) as driver,
        driver.session() as session,
    ):
        return [record.values() for record in session.run(text, parameters)]


async def ask(address: str, text: str, **parameters: Any) -> list[Any]:
    """As `query`, without holding up the world."""
    return await trio.to_thread.run_sync(partial(query, address, text, **parameters))


async def until(holds: Callable[[], bool], what: str) -> None:
    """Until it holds; the test's own limit bounds the wait."""
    try:
        while not holds():
            await trio.sleep(0.05)
    except trio.Cancelled:
        print(f"never: {what}")
        raise


async def write(sandbox: Sandbox, controller: str, number: int) -> None:
    """Write through a gateway, again and again as an application would."""
    while True:
        try:
            await ask(sandbox.gateway(controller), "CREATE (:Write {id: $id})", id=number)
        except (Neo4jError, neo4j.exceptions.DriverError, OSError):
            await trio.sleep(0.05)
        else:
            return


def status(sandbox: Sandbox, controller: str = CONTROLLER) -> dict[str, Any]:
    """What a controller pod says of the cluster."""
    urls: Any = sandbox.card()["http"]
    with urllib.request.urlopen(f"{urls[controller]}/api/v1/status", timeout=5) as answer:
        document: dict[str, Any] = json.load(answer)
        return document


def triggers(sandbox: Sandbox) -> list[str]:
    """The ledger's triggers in order."""
    lines = sandbox.ledger()
    return [json.loads(lines[key])["on"] for key in sorted(lines)]


async def test_main_hangs_then_dies_and_no_reader_ever_writes() -> None:
    """A hung main is failed over although its pod stays Ready (scenario 34); a killed one comes
    back as a replica and never as a second main (53); writes go on in DEGRADED, and the status says
    so (46); the read-only gateway accepts no write before, while and after (S14, scenario 85)."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(WHOLE_S)
            await write(sandbox, CONTROLLER, 1)
            with pytest.raises(Neo4jError, match="forbidden on the replica"):
                await ask(sandbox.read_gateway(CONTROLLER), "CREATE (:Intruder)")
            sandbox.stop("memgraph-0")
            await write(sandbox, "controller-1", 2)
            assert sandbox.noted("main") == "memgraph-1"
            said = await trio.to_thread.run_sync(status, sandbox)
            assert said["phase"] == "DEGRADED"
            assert not said["healthy"]
            sandbox.cont("memgraph-0")
            await sandbox.wait_whole(WHOLE_S)
            sandbox.kill("memgraph-1")
            await write(sandbox, CONTROLLER, 3)
            with pytest.raises(Neo4jError, match="forbidden on the replica"):
                await ask(sandbox.read_gateway(CONTROLLER), "CREATE (:Intruder)")
            await sandbox.wait_whole(WHOLE_S)
            for instance in sandbox.instances:
                rows = await ask(sandbox.bolt(instance), "MATCH (n:Write) RETURN n.id")
                assert sorted(row[0] for row in rows) == [1, 2, 3], instance
                assert await ask(sandbox.bolt(instance), "MATCH (n:Intruder) RETURN n") == []


async def test_leaders_die_and_the_api_server_goes_away() -> None:
    """A standby that has long watched goes on where the leader died, also with an instance down
    (scenarios 26, 88); after an outage of the API server some pod leads again (95); SIGTERM ends a
    controller with 0, and another one leads (96)."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(WHOLE_S)
            sandbox.kill("main")
            await write(sandbox, CONTROLLER, 1)
            await sandbox.wait_whole(WHOLE_S)
            sandbox.stop("memgraph-2")
            leader = sandbox.leader()
            other = next(c for c in sandbox.controllers if c != leader)
            sandbox.kill(leader)
            await write(sandbox, other, 2)
            sandbox.kill("main")
            await write(sandbox, other, 3)
            sandbox.cont("memgraph-2")
            await sandbox.wait_whole(WHOLE_S)
            seq = sandbox.noted("seq")
            sandbox.api_down()
            await trio.sleep(12)
            sandbox.api_up()
            await write(sandbox, other, 4)
            await until(lambda: sandbox.noted("seq") != seq, "a new reign's barrier")
            leader = sandbox.leader()
            earlier = _end(sandbox, leader)  # it may be the one that was killed
            sandbox._kubelet.signal(leader, signal.SIGTERM)
            await until(lambda: sandbox.leader() != leader, "the Lease is given back")
            await until(lambda: _end(sandbox, leader) != earlier, "the process ends")
            assert _end(sandbox, leader)[0] == 0


def _end(sandbox: Sandbox, pod: str) -> tuple[int | None, str]:
    """Exit code and time of the last end of its container, if there was one."""
    from controller.sandbox.apiserver import PODS

    found = sandbox._get(PODS, pod) or {}
    states = found.get("status", {}).get("containerStatuses") or [{}]
    last = states[0].get("lastState", {}).get("terminated") or {}
    now = states[0].get("state", {}).get("terminated") or {}
    ended = now or last
    return ended.get("exitCode"), str(ended.get("finishedAt", ""))


async def test_controller_that_starts_while_the_main_is_dead() -> None:
    """What the ledger says of the sync set is enough to fail over, without a word of the dead main
    (scenario 41)."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions(controllers=1)) as sandbox:
            await sandbox.wait_whole(WHOLE_S)
            await write(sandbox, CONTROLLER, 1)
            sandbox.stop(CONTROLLER)
            sandbox.stop("memgraph-0")
            sandbox.kill(CONTROLLER)
            await write(sandbox, CONTROLLER, 2)
            assert sandbox.noted("main") == "memgraph-1"
            sandbox.cont("memgraph-0")
            await sandbox.wait_whole(WHOLE_S)


async def promote_by_hand(sandbox: Sandbox, instance: str, nodes: int) -> None:
    """A main with data, as a person might have left it."""
    await ask(sandbox.bolt(instance), "SET REPLICATION ROLE TO MAIN")
    for number in range(nodes):
        await ask(sandbox.bolt(instance), "CREATE (:Old {id: $id})", id=number)


@pytest.mark.parametrize("nodes", [(1, 1), (0, 1)])
async def test_ambiguous_instances_are_not_touched(nodes: tuple[int, int]) -> None:
    """Two mains with data (or an empty one before one with data) are a new cluster to nobody: no
    role command, closed gateway, a loud status, no crash (scenarios 15, 19)."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions(controllers=1, waits=True)) as sandbox:
            await until(sandbox.pods_ready, "instances")
            await promote_by_hand(sandbox, "memgraph-0", nodes[0])
            await promote_by_hand(sandbox, "memgraph-1", nodes[1])
            await sandbox.start_controllers()
            await until(lambda: "bootstrap_refused" in triggers(sandbox), "refused")
            await trio.sleep(1.0)
            assert sandbox.noted("phase") == "BOOTSTRAP"
            for instance, count in zip(sandbox.instances, nodes, strict=False):
                assert await ask(sandbox.bolt(instance), "SHOW REPLICATION ROLE") == [["main"]]
                rows = await ask(sandbox.bolt(instance), "MATCH (n) RETURN count(n)")
                assert rows == [[count]]
            said = await trio.to_thread.run_sync(status, sandbox)
            assert not said["writes"]["open"]
            lines = sandbox.ledger().values()
            reasons = [json.loads(x)["why"] for x in lines if "bootstrap_refused" in x]
            assert len(reasons) == len(set(reasons)) <= 3, "the same refusal twice"


async def test_existing_cluster_is_adopted() -> None:
    """A main that the others follow is kept, gets no role command, and becomes redundant
    (scenario 18)."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions(controllers=1, waits=True)) as sandbox:
            await until(sandbox.pods_ready, "instances")
            await promote_by_hand(sandbox, "memgraph-1", 2)
            for name, mode in (("memgraph-0", "STRICT_SYNC"), ("memgraph-2", "ASYNC")):
                host = sandbox.bolt(name).split(":")[0]
                text = f'REGISTER REPLICA {name.replace("-", "_")} {mode} TO "{host}:10000"'
                await ask(sandbox.bolt("memgraph-1"), text)
            await sandbox.start_controllers()
            await sandbox.wait_whole(WHOLE_S)
            assert sandbox.noted("main") == "memgraph-1"
            assert triggers(sandbox)[1:3] == ["cluster_adopted", "readers_changed"] or (
                "main_promoted" not in triggers(sandbox)
            )
            await write(sandbox, CONTROLLER, 1)


async def test_an_idle_cluster_notices_that_its_copy_is_gone() -> None:
    """The sync replica's volume is a new one while nobody writes: it leaves the sync set, takes
    over everything anew, and joins again (S10, F8)."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(WHOLE_S)
            await write(sandbox, CONTROLLER, 7)
            sandbox.kill("memgraph-1")
            volume = sandbox.block.directory / "node/volumes" / objects.NAMESPACE / "memgraph-1"
            volume.rename(volume.with_name("lost"))
            volume.mkdir()
            await until(lambda: sandbox.noted("phase") != "OPERATIONAL", "the loss is noticed")
            await sandbox.wait_whole(60)
            address = f"{sandbox.address_of('memgraph-1')}:7687"
            assert await ask(address, "MATCH (n:Write) RETURN n.id") == [[7]]
