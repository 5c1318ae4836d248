"""The HTTP server on a real socket of 127.0.0.1 (scenarios 101 and 103)."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import web_picture as p
from attrs import evolve, field, frozen

from controller.setting_values import Address
from controller.web import Snapshot, serve
from statemachine.cluster import Cluster
from statemachine.ids import Instance

DEADLINE_S = 10.0


@frozen
class Where:
    """The part of the settings that the server looks at."""

    http_bind_address: Address = field(factory=lambda: Address("127.0.0.1", 0))


@frozen
class Answer:
    status: int
    headers: str
    body: str


Get = Callable[[str], object]


async def get(address: Address, path: str, method: str = "GET") -> Answer:
    """One request on a connection of its own."""
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await stream.send_all(request.encode())
        received = b"".join([chunk async for chunk in stream])
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), head.decode().lower(), body.decode())


@asynccontextmanager
async def serving(source: Callable[[], Snapshot]) -> AsyncIterator[Address]:
    """A server that is cancelled at the end."""
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve, Where(), source))
            nursery.cancel_scope.cancel()


async def test_every_documented_path_answers() -> None:
    """Each path of the documentation is 200 for a healthy leader, with its media type."""
    expected = {
        "/livez": "text/plain",
        "/readyz": "text/plain",
        "/health": "application/json",
        "/metrics": "text/plain; version=",
        "/status": "application/json",
        "/api/v1/status": "application/json",
        "/api/v1/ledger?since=0": "application/x-ndjson",
        "/api/v1/diagram.mmd": "text/plain",
    }
    async with serving(p.snapshot) as address:
        for path, media in expected.items():
            answer = await get(address, path)
            assert (path, answer.status) == (path, 200)
            assert f"content-type: {media}" in answer.headers


@pytest.mark.parametrize(
    "path", ["/x.html", "/api", "/api/v1/statu", "/status/", "/metrics/x", "/page/x"]
)
async def test_unknown_paths_are_404(path: str) -> None:
    """Scenario 103: not 200 with unrelated JSON, and no redirect that hides a typing error."""
    async with serving(p.snapshot) as address:
        assert (await get(address, path)).status == 404


async def test_the_api_is_read_only() -> None:
    """Scenario 104: nothing can be changed here, so nobody has to be refused by credentials."""
    async with serving(p.snapshot) as address:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert (await get(address, "/api/v1/status", method)).status == 405


async def test_status_and_its_alias_say_the_same() -> None:
    """Scenario 103: `/status` is a documented alias."""
    async with serving(p.snapshot) as address:
        one = json.loads((await get(address, "/status")).body)
        other = json.loads((await get(address, "/api/v1/status")).body)
    del one["at"], other["at"]
    assert one == other
    assert one["main"] == "memgraph-1"


async def test_a_standby_answers_too() -> None:
    """Who leads makes no difference to who may be asked."""
    standby = p.snapshot(is_leader=False, view=evolve(p.view(), identity=""))
    async with serving(lambda: standby) as address:
        document = json.loads((await get(address, "/api/v1/status")).body)
        assert document["leader"]["is_this_pod"] is False
        assert (await get(address, "/readyz")).status == 200


async def test_readyz_says_what_is_missing() -> None:
    """Ready means: ledger verified, and each gateway that is switched on listens."""
    missing = p.snapshot(
        is_ledger_verified=False, ledger_trouble="entry 7", listening={"rw": "0.0.0.0:7687"}
    )
    async with serving(lambda: missing) as address:
        answer = await get(address, "/readyz")
    assert answer.status == 503
    assert answer.body == ("the ledger is not verified: entry 7\nthe ro gateway does not listen\n")


async def test_livez_is_about_the_loop_alone() -> None:
    """A hung loop is 503; an empty cluster, a broken ledger or a lost main is not."""
    async with serving(lambda: p.snapshot(now_s=p.NOW_S + 31)) as address:
        assert (await get(address, "/livez")).status == 503
    troubled = p.snapshot(cluster=Cluster(), ledger_trouble="x", is_ledger_verified=False)
    async with serving(lambda: troubled) as address:
        assert (await get(address, "/livez")).status == 200
    began = p.snapshot(turned_at_s=float("-inf"), view=evolve(p.view(), started_at_s=p.NOW_S - 5))
    async with serving(lambda: began) as address:
        assert (await get(address, "/livez")).status == 200


async def test_health_is_about_the_cluster() -> None:
    """Not OPERATIONAL is 503, with the problems by name."""
    async with serving(lambda: p.snapshot(cluster=Cluster())) as address:
        answer = await get(address, "/health")
    assert answer.status == 503
    assert json.loads(answer.body)["problems"][0].startswith("the phase is BOOTSTRAP")


def leaving(instance: Instance, **changes: object) -> Snapshot:
    """The pod of this instance is being deleted; the ledger was read just now."""
    seen = p.view()
    pod = evolve(seen.instance(instance).pod, deleting=True)
    made = p.snapshot(view=p.without(seen, instance, pod=pod), head_read_at_s=p.NOW_S - 0.5)
    return evolve(made, **changes)


async def ask_prestop(snapshot: Snapshot, pod: str) -> tuple[int, dict[str, object]]:
    """What the hook gets."""
    async with serving(lambda: snapshot) as address:
        answer = await get(address, f"/api/v1/prestop/{pod}")
    return answer.status, json.loads(answer.body)


async def test_prestop_says_when_a_pod_may_stop() -> None:
    """200 for an async replica, 503 with the reason for the main, 404 for a stranger."""
    status, said = await ask_prestop(leaving(p.M2), p.M2)
    assert (status, said["safe"]) == (200, True)
    status, said = await ask_prestop(leaving(p.M1), p.M1)
    assert (status, said["safe"]) == (503, False)
    assert "is the main" in str(said["reason"])
    status, said = await ask_prestop(leaving(p.M2), "redis-0")
    assert status == 404
    assert "memgraph-0, memgraph-1, memgraph-2" in str(said["error"])


async def test_prestop_never_answers_from_an_old_ledger() -> None:
    """A pod that has not read the head lately does not know who is main now (scenario 74)."""
    old = leaving(p.M2, head_read_at_s=p.NOW_S - 3.5)
    status, said = await ask_prestop(old, p.M2)
    assert status == 503
    assert "has not read the ledger lately" in str(said["reason"])


async def test_ledger_wants_a_position() -> None:
    """A wrong `since` is told, not taken as 0; a huge one is an empty answer."""
    ledger = p.history()
    snapshot = p.snapshot(cluster=ledger.cluster, ledger_lines=ledger.lines)
    async with serving(lambda: snapshot) as address:
        assert (await get(address, "/api/v1/ledger?since=-1")).status == 400
        assert (await get(address, "/api/v1/ledger?since=x")).status == 400
        assert (await get(address, f"/api/v1/ledger?since={'9' * 400}")).body == ""
        assert (await get(address, "/api/v1/ledger?since=5")).body == ledger.lines[5]


async def test_concurrent_requests_meet_no_shared_state() -> None:
    """Scenario 101: many readers while the picture changes under them; every answer is whole."""
    phases = iter(range(10_000))

    def source() -> Snapshot:
        return p.snapshot() if next(phases) % 2 else p.snapshot(cluster=Cluster())

    seen: set[str] = set()

    async def ask(address: Address) -> None:
        for _ in range(5):
            seen.add(json.loads((await get(address, "/status")).body)["phase"])

    async with serving(source) as address, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask, address)
    assert seen == {"BOOTSTRAP", "OPERATIONAL"}


async def test_shutdown_does_not_wait_for_clients() -> None:
    """An open connection, idle or half-way through a request, does not hold up the exit."""
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(partial(serve, Where(), p.snapshot))
            idle = await trio.open_tcp_stream(address.host, address.port)
            half = await trio.open_tcp_stream(address.host, address.port)
            await half.send_all(b"GET /livez HTTP/1.1\r\nHost:")
            assert (await get(address, "/livez")).status == 200
            began_s = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began_s < 1.0
        await idle.aclose()
        await half.aclose()


async def test_a_port_in_use_is_an_error_at_start() -> None:
    """Whoever starts the server learns that it cannot listen."""
    async with serving(p.snapshot) as address:
        with pytest.RaisesGroup(OSError, flatten_subgroups=True, allow_unwrapped=True):
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(serve, Where(address), p.snapshot))
