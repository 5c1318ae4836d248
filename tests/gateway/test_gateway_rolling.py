"""A rolling restart of the controllers under load, on real controller processes.

Kubernetes and Memgraph are the sandbox's stand-ins. What stands in for a Service: a client connects
to a controller that said it was ready when it was asked last, at most `ENDPOINTS_S` ago.
"""

import itertools
import os
import urllib.error
import urllib.request

import attrs
import neo4j
import pytest
import trio

from controller.sandbox.memgraph.bolt.packstream import Structure, pack
from controller.sandbox.world import Sandbox, SandboxOptions, open_sandbox

pytestmark = pytest.mark.process
LIMIT_S = 240.0
ENDPOINTS_S = 0.3
CLIENTS = 6
REQUESTS, PAUSE_S = 8, 0.25  # of one session: about two seconds, far below the drain's 20
PATIENT = {  # a busy machine must not look like a dead main, or like a gateway that is cut off
    "MAIN_GRACE": "30s",
    "SYNC_GRACE": "30s",
    "PROBE_TIMEOUT": "5s",
    "GATEWAY_SELF_FENCE": "30s",
    "GATEWAY_BARRIER": "35s",
    "LEASE_DURATION": "20s",
    "LEASE_RENEW_DEADLINE": "15s",
}
HELLO = b"\x60\x60\xb0\x17\0\0\2\5" + bytes(12)


def message(tag: int, *fields: object) -> bytes:
    """One Bolt message in one chunk."""
    data = pack(Structure(tag, fields))
    return len(data).to_bytes(2, "big") + data + b"\0\0"


@attrs.define(eq=False)
class Traffic:
    """What the clients have seen."""

    sandbox: Sandbox
    ready: dict[str, bool] = attrs.Factory(dict)
    whole: dict[str, int] = attrs.Factory(dict)
    lost: list[str] = attrs.Factory(list)
    open: dict[str, int] = attrs.Factory(dict)
    acknowledged: set[int] = attrs.Factory(set)
    numbers: "itertools.count[int]" = attrs.Factory(itertools.count)

    def look(self) -> None:
        """Ask every controller whether clients may come."""
        urls = self.sandbox.card()["http"]
        assert isinstance(urls, dict)
        for name, url in urls.items():
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:
                    self.ready[name] = answer.status == 200
            except (OSError, urllib.error.URLError):
                self.ready[name] = False

    async def keep_looking(self) -> None:
        """What the endpoints of a Service do."""
        while True:
            await trio.to_thread.run_sync(self.look)
            await trio.sleep(ENDPOINTS_S / 2)

    async def keep_coming(self) -> None:
        """One client after the other."""
        for turn in itertools.count():
            ready = [name for name, is_ready in sorted(self.ready.items()) if is_ready]
            if ready:
                await self._visit(ready[turn % len(ready)])
            await trio.sleep(0.02)

    async def _visit(self, name: str) -> None:
        self.open[name] = self.open.get(name, 0) + 1
        answers = 0
        host, _, port = self.sandbox.gateway(name).rpartition(":")
        try:
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await self._greet(stream)
                while answers < REQUESTS:
                    await self._write(stream)
                    answers += 1
                    await trio.sleep(PAUSE_S)
            self.whole[name] = self.whole.get(name, 0) + 1
        except (OSError, trio.BrokenResourceError) as error:
            self.lost.append(f"{name}, after {answers} answers: {error!r}")
        finally:
            self.open[name] -= 1

    async def _greet(self, stream: trio.SocketStream) -> None:
        await stream.send_all(HELLO)
        if await stream.receive_some(4) != b"\0\0\2\5":
            raise OSError("no Bolt")
        agent = message(0x01, {"user_agent": "test"})
        await self._call(stream, agent + message(0x6A, {"scheme": "none"}))

    async def _write(self, stream: trio.SocketStream) -> None:
        number = next(self.numbers)
        run = message(0x10, "CREATE (:Write {id: $id})", {"id": number}, {})
        await self._call(stream, run + message(0x3F, {"n": -1}))
        self.acknowledged.add(number)

    async def _call(self, stream: trio.SocketStream, request: bytes) -> None:
        """Send two messages and wait for both answers; each fits one chunk."""
        await stream.send_all(request)
        buffer, answers = b"", 0
        while answers < 2:
            if len(buffer) >= 4 and len(buffer) >= (end := int.from_bytes(buffer[:2], "big") + 4):
                answers += buffer[3] != 0x71
                if buffer[3] == 0x7F:
                    raise OSError(f"refused: {buffer[:end]!r}")
                buffer = buffer[end:]
                continue
            data = await stream.receive_some()
            if not data:
                raise OSError("the end came early")
            buffer += data


async def _restart(sandbox: Sandbox, traffic: Traffic, name: str) -> None:
    """As a Deployment: SIGTERM, and the next one only after the new pod is ready."""
    while not traffic.open.get(name):
        await trio.sleep(0.01)
    pid = sandbox.pid(name)
    served = traffic.whole.get(name, 0)
    await sandbox.delete(name)
    assert not os.path.exists(f"/proc/{pid}"), "its process has ended"
    assert traffic.whole[name] > served, "sessions went on while it drained"
    assert sandbox.leader() != name, "leading was given up before it drained"
    while not (sandbox.is_whole() and traffic.ready.get(name)):
        await trio.sleep(0.05)


async def test_a_rolling_restart_loses_no_session() -> None:
    """Both controllers are restarted one after the other under load: not one of the sessions, each
    of about two seconds, fails at any step, and no acknowledged write is missing afterwards."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions(env=PATIENT)) as sandbox:
            await sandbox.wait_whole(100)
            traffic = Traffic(sandbox)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(traffic.keep_looking)
                for _ in range(CLIENTS):
                    nursery.start_soon(traffic.keep_coming)
                leader = sandbox.leader()
                for name in sorted(sandbox.controllers, key=lambda name: name != leader):
                    await _restart(sandbox, traffic, name)
                nursery.cancel_scope.cancel()
            assert traffic.lost == []
            assert sum(traffic.whole.values()) > CLIENTS
            assert await _stored(sandbox) >= traffic.acknowledged


async def _stored(sandbox: Sandbox) -> set[int]:
    """The ids of all writes, asked of the main itself."""
    address = sandbox.bolt(sandbox.noted("main"))

    def query() -> set[int]:
        with (
            neo4j.GraphDatabase.driver(f"bolt://{address}", auth=None) as driver,
            driver.session() as session,
        ):
            return {row["id"] for row in session.run("MATCH (n:Write) RETURN n.id AS id")}

    return await trio.to_thread.run_sync(query)
