"""Does the faults to a running sandbox, with clients on it, and keeps what is seen meanwhile."""

import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import trio

from controller.sandbox.demo.book import Book, Fault, entries_of, measure
from controller.sandbox.demo.served import ServedMains
from controller.sandbox.world import Sandbox

WRITERS = 4
READERS = 2
HANG_S = 15.0
CUT_OFF_S = 15.0
WHOLE_S = 90.0  # until everything is redundant again; else the demo has failed
START_S = 60.0
BEFORE_S = 1.0  # of ordinary work before each fault
SAMPLE_S = 0.1

Say = Callable[[str], None]


class Stage:
    """One run of the demo. `say` tells people what happens."""

    def __init__(self, sandbox: Sandbox, say: Say) -> None:
        self.sandbox, self.say = sandbox, say
        self.book = Book()
        self.faults: list[Fault] = []
        self.memory_kib: dict[str, int] = {}
        self.current = "starting"
        self.served = ServedMains(sandbox, SAMPLE_S)

    # -- clients

    async def run_clients(self, task_status: trio.TaskStatus[None]) -> None:
        """Client process until cancelled; then it ends by itself, with its last outcomes."""
        pods = self.sandbox.controllers
        writes = [self.sandbox.gateway(pods[n % len(pods)]) for n in range(WRITERS)]
        reads = [self.sandbox.read_gateway(pods[n % len(pods)]) for n in range(READERS)]
        words = [sys.executable, "-m", "controller.sandbox.demo.client"]
        words += [f"--write={a}" for a in writes]
        words += [f"--read={a}" for a in reads]
        words += [f"--intrude={self.sandbox.read_gateway(pods[0])}"]
        process = await trio.lowlevel.open_process(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        task_status.started()
        try:
            await self._take_lines(process.stdout)
        finally:
            with trio.move_on_after(20, shield=True):
                await process.stdin.aclose()
                await self._take_lines(process.stdout)
                await process.wait()
            if process.returncode is None:
                process.kill()

    async def _take_lines(self, stream: trio.abc.ReceiveStream) -> None:
        rest = b""
        async for data in stream:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.book.take(json.loads(line))

    # -- faults

    async def wait_ready(self) -> None:
        """Until the cluster is whole for the first time."""
        await self.sandbox.wait_whole(START_S)
        self.memory_kib = self.sandbox.memory_kib()

    async def play(self, name: str, number: int) -> None:
        """One fault, from ordinary work to everything whole again.

        Raises trio.TooSlowError when it does not become whole in time.
        """
        await trio.sleep(BEFORE_S)
        target = self._target_of(name)
        self.current = f"{name} ({target})"
        self.say(f"fault {name}: {target}")
        begin = time.time()
        seq = self.sandbox.noted("seq")
        await FAULTS[name](self, target)
        await self._wait_noticed(name, seq)
        await self.sandbox.wait_whole(WHOLE_S)
        end = time.time()
        entries = entries_of(self.sandbox.history())
        fault = measure(name, number, target, begin, end, self.book, entries)
        self.faults.append(fault)
        self.current = "ordinary work"
        self.say(
            f"  whole again after {end - begin:.1f} s; longest write gap {fault.write_gap_ms} ms"
        )

    def _target_of(self, name: str) -> str:
        if name == "rolling-restart":
            return "all, last first"
        role = "sync" if name.startswith("sync") else "main"
        if name == "leader-killed":
            role = "leader"
        return self.sandbox.resolve(role)

    async def _wait_noticed(self, name: str, seq: str) -> None:
        """A sync that is back at once needs no event; everything else begins with one, however
        slow the machine is."""
        with trio.move_on_after(8.0 if name == "sync-killed" else WHOLE_S):
            while self.sandbox.noted("seq") == seq:  # noqa: ASYNC110 - looks at the world
                await trio.sleep(0.05)

    async def kill(self, target: str) -> None:
        """SIGKILL."""
        self.sandbox.kill(target)

    async def hang(self, target: str) -> None:
        """SIGSTOP, and SIGCONT later."""
        self.sandbox.stop(target)
        await trio.sleep(HANG_S)
        self.sandbox.cont(target)

    async def cut_off(self, target: str) -> None:
        """Silence from and to everybody, healed later."""
        await self.sandbox.partition(target)
        await trio.sleep(CUT_OFF_S)
        await self.sandbox.heal(target)

    async def delete(self, target: str) -> None:
        """Graceful deletion of the pod."""
        await self.sandbox.delete(target)

    async def force_delete(self, target: str) -> None:
        """Deletion with grace 0."""
        await self.sandbox.force_delete(target)

    async def switch_over(self, target: str) -> None:
        """The main is handed over by the real command, as a person would."""
        words = [sys.executable, "-m", "controller.cli", "switchover", "--reason=rehearsal"]
        words += [f"--kubeconfig={self.sandbox.kubeconfig}"]
        done = await trio.run_process(words, capture_stdout=True, capture_stderr=True, check=False)
        told = (done.stdout if done.returncode == 0 else done.stderr).decode().strip()
        self.say(f"  the command ends with {done.returncode}: {told.splitlines()[-1:]}")

    async def restart_all(self, target: str) -> None:
        """Every instance's pod is deleted, from the last to the first as a StatefulSet does, each
        once everything is whole again."""
        for instance in reversed(self.sandbox.instances):
            self.current = f"rolling-restart ({instance} of {target})"
            uid = self.sandbox.uid(instance)
            await self.sandbox.delete(instance)
            with trio.fail_after(WHOLE_S):
                while self.sandbox.uid(instance) in ("", uid):  # noqa: ASYNC110 - looks at the world
                    await trio.sleep(0.02)
            await self.sandbox.wait_whole(WHOLE_S)

    async def kill_with_leader(self, target: str) -> None:
        """The leading controller and the main in the same instant."""
        leader = self.sandbox.resolve("leader")
        self.sandbox.kill(leader)
        self.sandbox.kill(target)

    # -- the end

    async def read_instances(self) -> dict[str, frozenset[str] | None]:
        """The ids that stand on each instance, read from itself, past every gateway."""
        found: dict[str, frozenset[str] | None] = {}
        for instance in self.sandbox.instances:
            read = partial(_ids_on, self.sandbox.bolt(instance), self.say)
            found[instance] = await trio.to_thread.run_sync(read)
        return found

    async def wait_replicated(self) -> None:
        """Asynchronous replicas get a moment for what was written last."""
        await self.sandbox.wait_whole(WHOLE_S)


def _ids_on(address: str, say: Say) -> frozenset[str] | None:
    from neo4j import GraphDatabase  # late: `--help` need not wait for the driver
    from neo4j.exceptions import DriverError, Neo4jError

    query, uri = "MATCH (n:Write) RETURN n.id AS id", f"bolt://{address}"
    try:
        with GraphDatabase.driver(uri, auth=None) as driver, driver.session() as session:
            return frozenset(record["id"] for record in session.run(query))
    except (Neo4jError, DriverError, OSError) as error:
        say(f"{address} cannot be read: {error}")
        return None


FAULTS: Mapping[str, Callable[[Stage, str], Awaitable[None]]] = {
    "main-killed": Stage.kill,
    "main-hung": Stage.hang,
    "main-force-deleted": Stage.force_delete,
    "leader-and-main-killed": Stage.kill_with_leader,
    "sync-killed": Stage.kill,
    "leader-killed": Stage.kill,
    "main-cut-off": Stage.cut_off,
    "main-deleted": Stage.delete,
    "rolling-restart": Stage.restart_all,
    "switchover": Stage.switch_over,
}
DEFAULT_FAULTS = (
    "main-killed",
    "main-hung",
    "main-force-deleted",
    "leader-and-main-killed",
    "sync-killed",
)
