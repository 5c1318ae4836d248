"""The sandbox with real processes: what is started, broken and left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from controller.sandbox.watchdog import marked
from controller.sandbox.world import NoSuchTarget, Sandbox, SandboxOptions, open_sandbox

pytestmark = pytest.mark.process
START_S = 30.0


def state_of(pid: int) -> str:
    """The process state letter of /proc: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]


def alive(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        return state_of(pid) != "Z"
    except FileNotFoundError:
        return False


@asynccontextmanager
async def instances_only() -> AsyncIterator[Sandbox]:
    """Two instances without controllers, both Ready."""
    async with open_sandbox(SandboxOptions(instances=2, controllers=0)) as sandbox:
        with trio.fail_after(START_S):
            while not sandbox.pods_ready():
                await trio.sleep(0.05)
        yield sandbox


async def gone_or_other(sandbox: Sandbox, pod: str, pid: int) -> int:
    """The pid of the pod's next process."""
    with trio.fail_after(START_S):
        while True:
            try:
                if sandbox.pid(pod) != pid:
                    return sandbox.pid(pod)
            except LookupError:
                pass
            await trio.sleep(0.02)


async def test_faults_do_what_they_say_and_nothing_is_left() -> None:
    """Kill gives another process, stop a stopped one, delete another pod; afterwards no process and
    no file of the sandbox is there."""
    async with instances_only() as sandbox:
        first, directory = sandbox.pid("memgraph-0"), sandbox.block.directory
        sandbox.kill("memgraph-0")
        second = await gone_or_other(sandbox, "memgraph-0", first)
        assert not alive(first)
        sandbox.stop("memgraph-1")
        with trio.fail_after(START_S):
            while state_of(sandbox.pid("memgraph-1")) != "T":
                await trio.sleep(0.01)
        sandbox.cont("memgraph-1")
        await sandbox.force_delete("memgraph-0")
        third = await gone_or_other(sandbox, "memgraph-0", second)
        with pytest.raises(NoSuchTarget, match="memgraph-1"):
            sandbox.kill("memgraph-7")
        pids = [third, sandbox.pid("memgraph-1")]
    assert not [pid for pid in pids if alive(pid)]
    assert not directory.exists()


async def test_partition_silences_an_instance_and_heals() -> None:
    """A partitioned instance answers nobody, without refusing; healed it answers again."""
    async with instances_only() as sandbox:
        host, port = sandbox.bolt("memgraph-0").split(":")
        hello = b"\x60\x60\xb0\x17" + b"\x00\x00\x02\x05" + 12 * b"\x00"

        async def answer() -> bytes:
            with trio.move_on_after(1.0):
                async with await trio.open_tcp_stream(host, int(port)) as stream:
                    await stream.send_all(hello)
                    return bytes(await stream.receive_some(4))
            return b"silence"

        assert await answer() == b"\x00\x00\x02\x05"
        await sandbox.partition("memgraph-0")
        assert await answer() == b"silence"
        await sandbox.heal("memgraph-0")
        with trio.fail_after(START_S):
            while await answer() != b"\x00\x00\x02\x05":
                await trio.sleep(0.05)


def up(*words: str) -> tuple[subprocess.Popen[str], dict[str, object]]:
    """`sandbox up` as a user starts it, and the card that it printed."""
    command = [sys.executable, "-m", "controller.cli", "sandbox", "up", "--json", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM, and even SIGKILL of the sandbox leave no process and no file behind."""
    process, card = up("--instances", "1", "--controllers", "1")
    try:
        mark = f"{str(card['api']).split('//')[1].rsplit('.', 1)[0]}/{process.pid}"
        trio.run(_until_started, mark)
        process.send_signal(number)
        process.wait(timeout=20)
        assert process.returncode == (-number if number is signal.SIGKILL else 0)
        deadline = 10.0
        trio.run(_until_clean, mark, Path(str(card["directory"])), deadline)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        process.stdout.close()


async def _until_started(mark: str) -> None:
    """The database and the controller run; each carries the mark in its environment."""
    with trio.fail_after(START_S):
        while len(list(marked(mark))) < 2:
            await trio.sleep(0.05)


async def _until_clean(mark: str, directory: Path, deadline_s: float) -> None:
    with trio.fail_after(deadline_s):
        while list(marked(mark)) or directory.exists():
            await trio.sleep(0.05)
