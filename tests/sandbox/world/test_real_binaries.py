"""The sandbox with a database binary that binds every address, as a real Memgraph does.

The binary here is our stand-in behind `strict_memgraph`; nothing in these tests is a real Memgraph.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import neo4j
import pytest
import trio
from neo4j.exceptions import DriverError, Neo4jError

from controller.cli.demo import stand_ins_of
from controller.sandbox.pod_network import HINT, PodNetwork, open_pod_network
from controller.sandbox.world import Sandbox, SandboxOptions, open_sandbox

pytestmark = pytest.mark.process
LIMIT_S = 120.0
NUMBER = 2047  # the last block: sandboxes take the first ones
OWN_NETWORK = ["unshare", "--user", "--map-root-user", "--net"]
CLI = [sys.executable, "-m", "controller.cli"]


@pytest.fixture
def binary(tmp_path: Path) -> str:
    """A program that is started as a real Memgraph would be."""
    path = tmp_path / "memgraph"
    script = Path(__file__).with_name("strict_memgraph.py")
    words = shlex.join([sys.executable, str(script)])
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o700)
    return str(path)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[PodNetwork]:
    """Three instances' networks."""
    async with open_pod_network(NUMBER, tmp_path / "networks", ["a", "b", "c"]) as network:
        yield network


def interfaces() -> set[str]:
    """Names of the network interfaces here."""
    return {name for _, name in socket.if_nameindex()}


async def reach(address: str, port: int, words: list[str]) -> str:
    """What a dial comes to: "connected", "refused" or "silence"."""
    program = (
        "import socket, sys\n"
        "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5); print('connected')\n"
        "except ConnectionRefusedError: print('refused')\n"
        "except TimeoutError: print('silence')\n"
    )
    command = [*words, sys.executable, "-c", program, address, str(port)]
    done = await trio.run_process(command, capture_stdout=True)
    return done.stdout.decode().strip()


def listening(network: PodNetwork, instance: str, port: int) -> "subprocess.Popen[bytes]":
    """A process that listens on every address of an instance's network by now."""
    program = (
        "import socket, sys\n"
        "s = socket.create_server(('0.0.0.0', int(sys.argv[1])), backlog=100)\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    command = [*network.enter(instance), sys.executable, "-c", program, str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


async def test_the_same_port_on_every_instance_and_cuts(network: PodNetwork) -> None:
    """Two instances bind the same port on every address; a dial goes to the right one; where nobody
    listens it is refused; a cut is silence, for everybody or for one peer, until it is healed."""
    with trio.fail_after(60):
        with listening(network, "a", 10000) as a, listening(network, "b", 10000) as b:
            host, c = [], network.enter("c")
            for instance in ("a", "b"):
                assert await reach(network(instance), 10000, c) == "connected"
            assert await reach(network("c"), 10000, host) == "refused"
            await network.cut("a", "c")
            assert await reach(network("a"), 10000, c) == "silence"
            assert await reach(network("a"), 10000, host) == "connected"
            await network.cut("a")
            assert await reach(network("a"), 10000, host) == "silence"
            assert await reach(network("a"), 10000, network.enter("b")) == "silence"
            assert await reach(network("b"), 10000, c) == "connected"
            await network.heal("a")
            assert await reach(network("a"), 10000, c) == "connected"
            assert await reach(network("a"), 10000, host) == "connected"
            a.kill()
            b.kill()


async def test_nothing_is_left_of_a_network(tmp_path: Path) -> None:
    """Afterwards its interface and its namespaces are gone, and the same can be made again."""
    own = f"mgc{NUMBER}"
    for turn in range(2):
        directory = tmp_path / str(turn)
        async with open_pod_network(NUMBER, directory, ["a"]):
            assert own in interfaces()
            files = [os.readlink(directory / name) for name in ("switch", "a")]
            assert all("net:" in os.readlink(file) for file in files)
        assert own not in interfaces()
        assert not [file for file in files if Path(file).exists()]


async def write(sandbox: Sandbox, number: int) -> None:
    """Write through the gateway until it is acknowledged."""

    def once() -> None:
        url = f"bolt://{sandbox.gateway('controller-0')}"
        with neo4j.GraphDatabase.driver(url, connection_timeout=3) as driver:
            driver.execute_query("CREATE (:Write {id: $id})", id=number)

    while True:
        try:
            await trio.to_thread.run_sync(once)
            return
        except (Neo4jError, DriverError, OSError):
            await trio.sleep(0.1)


async def another_main(sandbox: Sandbox, than: str) -> str:
    """The name of the next main, once the ledger says so."""
    while (main := sandbox.noted("main")) in ("", than):
        await trio.sleep(0.05)
    return main


async def test_a_cluster_of_binaries_fails_over(binary: str) -> None:
    """Three such databases become a cluster, on one replication port, with real flags only; the
    main is killed, the next one partitioned, and each time another takes over; in the end all are
    back, every write is there, and nothing of it is left."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions(controllers=1, memgraph=binary)) as sandbox:
            own = f"mgc{sandbox.block.number}"
            await sandbox.wait_whole(60)
            assert sandbox.bolt("memgraph-0").startswith("198.")
            await write(sandbox, 1)
            first = sandbox.noted("main")
            sandbox.kill(first)
            second = await another_main(sandbox, first)
            await write(sandbox, 2)
            await sandbox.wait_whole(60)
            await sandbox.partition(second)
            await another_main(sandbox, second)
            await write(sandbox, 3)
            await sandbox.heal(second)
            await sandbox.wait_whole(60)
            pids = [sandbox.pid(instance) for instance in sandbox.instances]
            found = await trio.to_thread.run_sync(ids, sandbox.bolt(sandbox.noted("main")))
            assert found >= {1, 2, 3}
        assert own not in interfaces()
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def ids(address: str) -> set[int]:
    """The written numbers that a database holds."""
    with neo4j.GraphDatabase.driver(f"bolt://{address}") as driver:
        found = driver.execute_query("MATCH (w:Write) RETURN w.id AS id").records
        return {record["id"] for record in found}


def test_without_the_right_to_make_networks_it_says_what_to_do(binary: str) -> None:
    """`sandbox up --memgraph` without the right ends with 1 and the way to get it."""
    without = ["setpriv", "--bounding-set=-net_admin,-sys_admin"] if os.geteuid() == 0 else []
    command = [*without, *CLI, "sandbox", "up", "--memgraph", binary]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert HINT in " ".join(done.stderr.split())


def test_the_demo_names_what_is_imitated() -> None:
    """With a binary of the user's own, Memgraph is no stand-in in the demo's result."""
    assert "Memgraph" in stand_ins_of(SandboxOptions())
    assert "Memgraph" not in stand_ins_of(SandboxOptions(memgraph="/usr/lib/memgraph/memgraph"))


def test_a_path_that_is_no_program_is_refused_at_once() -> None:
    """A wrong path is a mistake on the command line."""
    for command in (["sandbox", "up"], ["demo"]):
        words = [*CLI, *command, "--memgraph", "/nonexistent/memgraph"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "is no program" in done.stderr


def test_anybody_can_run_it_in_a_network_of_their_own(binary: str) -> None:
    """Inside `unshare --user --map-root-user --net` it needs no root: instances come up."""
    command = [*OWN_NETWORK, *CLI, "sandbox", "up", "--json", "--name", "own-net"]
    command += ["--instances", "2", "--controllers", "0", "--memgraph", binary]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        card = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    assert all(address.startswith("198.") for address in card["instances"].values())
    assert not Path(card["directory"]).exists()
