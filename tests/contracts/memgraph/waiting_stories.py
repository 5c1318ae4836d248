"""The long stories behind test_contract_waits.py, run side by side in a thread of their own.

Promise: a story is started once for each kind of server, when the session begins, so that the
longest wait costs the run its length once. Its test only fetches the outcome.
"""

import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from contract_world import Refused, Server, World
from server_kinds import Kind
from texts import NO_DEMOTION, not_replicated, register_failed

Story = Callable[[World], Awaitable[None]]
STORY_S = 150.0
POLL_S = 0.05
PROMPT_S = 4.0  # a real one takes milliseconds; ten stories share the machine here


class Stories:
    """The stories of one kind of server."""

    def __init__(self, kind: Kind, directory: Path, names: Iterable[str]) -> None:
        self._outcomes: dict[str, Future[None]] = {name: Future() for name in names}
        self._scope: trio.CancelScope | None = None
        self._thread = threading.Thread(target=trio.run, args=(self._run, kind, directory))
        self._thread.start()

    async def _run(self, kind: Kind, directory: Path) -> None:
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            self._token = trio.lowlevel.current_trio_token()
            for name, outcome in self._outcomes.items():
                nursery.start_soon(self._tell, name, outcome, World(kind, directory / name))

    async def _tell(self, name: str, outcome: Future[None], world: World) -> None:
        try:
            with trio.fail_after(STORY_S):
                await STORIES[name](world)
        except (Refused, AssertionError, OSError, trio.TooSlowError, BaseExceptionGroup) as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        finally:
            with trio.CancelScope(shield=True):
                await world.end()

    async def wait(self, name: str) -> None:
        """The end of a story; raises what it raised."""
        with trio.fail_after(STORY_S + 10):
            while not self._outcomes[name].done():
                assert self._thread.is_alive(), "the thread of the stories has ended"
                await trio.sleep(POLL_S)
        self._outcomes[name].result()

    def end(self) -> None:
        """No story runs afterwards."""
        if self._scope is not None:
            with suppress(trio.RunFinishedError):
                trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join()


async def refused_after(server: Server, statement: str) -> tuple[Refused, float]:
    """The refusal of a statement and how many seconds it took."""
    begin_s = trio.current_time()
    refused = await server.refusal(statement)
    return refused, trio.current_time() - begin_s


async def stays(main: Server, status: str, for_s: float) -> None:
    """Its replica `r` keeps this status for so long."""
    end_s = trio.current_time() + for_s
    while trio.current_time() < end_s:
        assert (await main.replica("r"))["status"] == status
        await trio.sleep(POLL_S)


async def killed_idle(world: World) -> None:
    main, replica = await world.pair("SYNC")
    await main.write()
    await replica.kill()
    await stays(main, "ready", 0.5)
    assert 1 <= await main.wait_status("r", "invalid") <= 8


async def stopped_idle(world: World) -> None:
    main, replica = await world.pair("SYNC")
    await main.write()
    replica.signal(signal.SIGSTOP)
    await stays(main, "ready", 8)
    assert await main.wait_status("r", "invalid", within_s=25) <= 17


async def restarted_idle(world: World) -> None:
    main, replica = await world.pair("SYNC")
    await main.write()
    await replica.kill()
    await replica.start()
    await stays(main, "ready", 4)
    await main.wait_writable()


async def emptied_idle(world: World) -> None:
    main, replica = await world.pair("SYNC")
    await main.write(20)
    await replica.kill()
    replica.data.rename(replica.directory / "lost")
    await replica.start()
    assert await replica.role() == "main"
    assert await main.replica("r") == {"behind": 0, "status": "ready", "ts": 40}


async def hanging(world: World, mode: str) -> None:
    """L10 for a mode that waits."""
    main, replica = await world.pair(mode)
    await main.write()
    replica.signal(signal.SIGSTOP)
    outcome: list[tuple[Refused, float]] = []
    read_s: list[float] = []

    async def write() -> None:
        outcome.append(await refused_after(main, "CREATE (:Hung)"))

    async def read() -> None:
        begin_s = trio.current_time()
        await main.ask("RETURN 1")
        read_s.append(trio.current_time() - begin_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.sleep(2)
        nursery.start_soon(read)
        await answers_meanwhile(main)
    ((refused, waited_s),) = outcome
    assert 27 <= waited_s <= 45
    assert 20 <= read_s[0] <= 45
    await told_of_timeout(main, mode, refused)
    refused, waited_s = await refused_after(main, "CREATE (:Hung)")
    assert waited_s < PROMPT_S
    assert await main.count("Hung") == (2 if mode == "SYNC" else 0)
    replica.signal(signal.SIGCONT)
    await main.wait_status("r", "ready")
    assert await main.count() == await replica.count()


async def answers_meanwhile(main: Server) -> None:
    """During a commit that hangs: roles are told, system queries are refused with their texts."""
    for statement in ("SHOW REPLICATION ROLE", "SHOW REPLICAS"):
        with trio.fail_after(PROMPT_S):
            await main.ask(statement)
    demotion = f"SET REPLICATION ROLE TO REPLICA WITH PORT {main.replication_port}"
    for statement, text in (
        (demotion, NO_DEMOTION),
        ("DROP REPLICA r", "Failed to unregister replica due to lack of unique access"),
    ):
        refused, waited_s = await refused_after(main, statement)
        assert refused.message.startswith(text)
        assert waited_s < PROMPT_S


async def told_of_timeout(main: Server, mode: str, refused: Refused) -> None:
    """The sentence of the write that waited."""
    release = await main.release()
    if release < (3, 10):
        assert (refused.code, refused.message) == not_replicated(release, mode, ["r"])
        return
    reason = f"Failed to replicate to {mode} replica 'r': RPC timeout while replicating."
    assert reason in refused.message
    assert "Main reached an RPC timeout while replicating to [r]." in refused.message


async def hanging_async(world: World) -> None:
    main, replica = await world.pair("ASYNC")
    await main.write()
    await main.wait_status("r", "ready")
    replica.signal(signal.SIGSTOP)
    for _ in range(3):
        with trio.fail_after(PROMPT_S):
            await main.write()
    assert await main.count() == 4
    await trio.sleep(2)
    assert (await main.replica("r"))["status"] in ("replicating", "invalid")
    replica.signal(signal.SIGCONT)
    await main.wait_status("r", "ready")
    with trio.fail_after(PROMPT_S):
        while await replica.count() < 4:
            await trio.sleep(POLL_S)


async def frozen_by_register(main: Server, address: str, least_s: float, most_s: float) -> None:
    """A REGISTER that waits, what waits with it, and the row that it leaves."""
    outcome: list[tuple[Refused, float]] = []
    waited_s: dict[str, float] = {}

    async def register() -> None:
        statement = f'REGISTER REPLICA s SYNC TO "{address}"'
        outcome.append(await refused_after(main, statement))

    async def ask(statement: str) -> None:
        begin_s = trio.current_time()
        await main.ask(statement)
        waited_s[statement] = trio.current_time() - begin_s

    frozen = ("SHOW REPLICATION ROLE", "SHOW REPLICAS", "MATCH (n) RETURN count(n)", "CREATE (:X)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(register)
        await trio.sleep(1)
        for statement in frozen:
            nursery.start_soon(ask, statement)
        with trio.fail_after(PROMPT_S - 1):
            await main.ask("SHOW VERSION")
    ((refused, register_s),) = outcome
    assert refused.message == register_failed("s", 5)
    assert least_s <= register_s <= most_s
    assert all(s >= least_s - 2 for s in waited_s.values()), waited_s
    assert await main.replica("s") == {}
    await main.drop("s")


async def silent_peer(world: World) -> None:
    (main,) = await world.start("main")
    with socket.create_server((main.host, 0)) as listener:
        where = "{}:{}".format(*listener.getsockname())
        await frozen_by_register(main, where, 9, 16)


async def black_hole(world: World) -> None:
    """A listener whose queue is full drops what else arrives."""
    (main,) = await world.start("main")
    listener = socket.create_server((main.host, 0), backlog=0)
    address = listener.getsockname()
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(address)
    await trio.sleep(0.5)
    try:
        await frozen_by_register(main, "{}:{}".format(*address), 4, 9)
    finally:
        for one in (*fillers, listener):
            one.close()


async def no_checks(world: World) -> None:
    main, replica = await world.pair("ASYNC", replication_replica_check_frequency_sec="0")
    await main.write()
    await main.wait_status("r", "ready")
    await replica.kill()
    await main.write()
    await replica.start()
    await stays(main, "invalid", 4)


STORIES: dict[str, Story] = {
    "killed_idle": killed_idle,
    "stopped_idle": stopped_idle,
    "restarted_idle": restarted_idle,
    "emptied_idle": emptied_idle,
    "hanging_sync": partial(hanging, mode="SYNC"),
    "hanging_strict_sync": partial(hanging, mode="STRICT_SYNC"),
    "hanging_async": hanging_async,
    "silent_peer": silent_peer,
    "black_hole": black_hole,
    "no_checks": no_checks,
}
