"""Each fault does what its name promises, to the client it is meant for and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from api_client import Api, NoAnswer
from api_rooms import World, config

from controller.sandbox.apiserver import CONFIGMAPS, Mode, Rule
from controller.sandbox.apiserver.pages import OPEN_MAX

MAPS = "/api/v1/namespaces/default/configmaps"
SILENCE_S = 0.15  # how long nothing must come; a round trip here takes about 1 ms


async def is_silent(api: Api) -> bool:
    """Say whether a read gets neither an answer nor an end."""
    with trio.move_on_after(SILENCE_S):
        await api.request("GET", MAPS)
        return False
    return True


async def switch(api: Api, **fault: object) -> dict[str, Any]:
    """Set a fault by HTTP and return what is on."""
    reply = await api.request("POST", "/sandbox/faults", fault)
    assert reply.status == 200, reply.text
    on: dict[str, Any] = reply.json
    return on


async def test_down_closes_one_client_until_up(world: World) -> None:
    """A client that is down gets no answer and loses its watches; another one lives on."""
    async with world.a.watch(MAPS) as watch:
        await switch(world.b, kind="down", token="token-a")
        with pytest.raises(NoAnswer):
            await watch.next_event()
    with pytest.raises(NoAnswer):
        await world.a.request("GET", MAPS)
    assert (await world.b.request("GET", MAPS)).status == 200
    await switch(world.b, kind="up", token="token-a")
    assert (await world.a.request("GET", MAPS)).status == 200


async def test_down_for_everybody_leaves_the_control_endpoint(world: World) -> None:
    """Who switched everybody off can switch them on again."""
    await switch(world.a, kind="down")
    for api in (world.a, world.b):
        with pytest.raises(NoAnswer):
            await api.request("GET", "/readyz")
    await switch(world.a, kind="up")
    assert (await world.b.request("GET", "/readyz")).text == "ok"


async def test_frozen_write_is_executed_late(world: World, nursery: trio.Nursery) -> None:
    """A write sent into a freeze happens when it ends, even if its sender has left."""
    await switch(world.b, kind="freeze", user="ctl-0")
    with trio.move_on_after(SILENCE_S) as gone:
        await world.a.request("POST", MAPS, config("late"))
    assert gone.cancelled_caught
    assert not world.store.has(CONFIGMAPS, "default", "late")
    await switch(world.b, kind="unfreeze", user="ctl-0")
    with trio.fail_after(5):
        while not world.store.has(CONFIGMAPS, "default", "late"):
            await world.store.wait_changed(world.store.revision)


async def test_frozen_watch_is_silent_and_then_goes_on(world: World) -> None:
    """An established watch tells nothing during a freeze and everything after it."""
    async with world.a.watch(MAPS, resourceVersion=world.store.revision) as watch:
        await switch(world.b, kind="freeze", token="token-a")
        await world.b.request("POST", MAPS, config("x"))
        with trio.move_on_after(SILENCE_S) as silence:
            await watch.next_event()
        assert silence.cancelled_caught
        assert await is_silent(world.a)
        await switch(world.b, kind="unfreeze", token="token-a")
        assert await watch.next_names(1) == [("ADDED", "x")]


async def test_partitioned_write_is_never_executed(world: World, nursery: trio.Nursery) -> None:
    """What was sent into a partition is lost, and its connection ends when the partition does."""
    await switch(world.b, kind="partition", token="token-a")
    lost = trio.Event()

    async def write() -> None:
        with pytest.raises(NoAnswer):
            await world.a.request("POST", MAPS, config("lost"))
        lost.set()

    nursery.start_soon(write)
    assert await is_silent(world.a)
    assert not lost.is_set()
    await switch(world.b, kind="up", token="token-a")
    await lost.wait()
    assert not world.store.has(CONFIGMAPS, "default", "lost")


async def test_partition_ends_its_watches_when_it_heals(world: World) -> None:
    """A watch of a partitioned client is silent, then closed without a proper end."""
    async with world.a.watch(MAPS, resourceVersion=world.store.revision) as watch:
        await switch(world.b, kind="partition", token="token-a")
        await world.b.request("POST", MAPS, config("x"))
        await switch(world.b, kind="up", token="token-a")
        with pytest.raises(NoAnswer):
            await watch.next_event()


async def test_cut_ends_established_watches_of_one_client(world: World) -> None:
    """cut closes the watches of its client; a new watch works at once."""
    async with world.a.watch(MAPS) as cut, world.b.watch(MAPS) as kept:
        await switch(world.b, kind="cut", token="token-a")
        with pytest.raises(NoAnswer):
            await cut.next_event()
        await world.a.request("POST", MAPS, config("x"))
        assert await kept.next_names(1) == [("ADDED", "x")]
    async with world.a.watch(MAPS) as again:
        assert await again.next_names(1) == [("ADDED", "x")]


async def test_fail_counts_and_filters(world: World) -> None:
    """fail hits the next `count` calls of its verb and resource, with Retry-After, and no more."""
    await switch(
        world.b, kind="fail", status=429, retry_after=7, count=2, verb="list", resource="configmaps"
    )
    assert (await world.a.request("POST", MAPS, config("x"))).status == 201
    assert (await world.a.request("GET", "/api/v1/pods")).status == 200
    replies = [await world.a.request("GET", MAPS) for _ in range(3)]
    assert [reply.status for reply in replies] == [429, 429, 200]
    assert replies[0].headers["retry-after"] == "7"
    assert (replies[0].reason, replies[0].json["details"]["retryAfterSeconds"]) == (
        "TooManyRequests",
        7,
    )


async def test_forbidden_names_who_what_and_where(world: World) -> None:
    """A 403 says verb, resource, group, user and namespace in the words of a real server."""
    await switch(world.b, kind="fail", status=403, token="token-a")
    leases = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
    reply = await world.a.request("PUT", f"{leases}/l", {"metadata": {"name": "l"}})
    assert (reply.status, reply.reason) == (403, "Forbidden")
    assert reply.json["message"] == (
        'leases.coordination.k8s.io "l" is forbidden: User "ctl-0" cannot update resource '
        '"leases" in API group "coordination.k8s.io" in the namespace "ns"'
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "Unauthorized"), (409, "Conflict"), (500, "InternalError"), (503, "ServiceUnavailable")],
)
async def test_fail_has_the_reason_of_its_code(world: World, status: int, reason: str) -> None:
    """Each code comes with the reason that clients decide by."""
    world.faults.add(Rule("fail", status=status))
    reply = await world.a.request("GET", f"{MAPS}/x")
    assert (reply.status, reply.reason) == (status, reason)


async def test_lost_reply_was_executed(world: World) -> None:
    """lose_reply spares reads, executes the next write, and closes without an answer."""
    await switch(world.b, kind="lose_reply", token="token-a")
    assert (await world.a.request("GET", MAPS)).status == 200
    with pytest.raises(NoAnswer):
        await world.a.request("POST", MAPS, config("x"))
    assert world.store.has(CONFIGMAPS, "default", "x")
    assert (await world.a.request("POST", MAPS, config("y"))).status == 201


async def test_latency_delays_until_cleared(world: World) -> None:
    """latency holds every request of its client back by so many seconds, until cleared."""
    await switch(world.b, kind="latency", seconds=SILENCE_S * 2, token="token-a")
    assert await is_silent(world.a)
    assert not await is_silent(world.b)
    await switch(world.b, kind="clear")
    assert not await is_silent(world.a)


async def test_a_list_that_was_begun_does_not_outlive_a_compaction(world: World) -> None:
    """The next page is 410, and so is one of a token that nobody gave; what is no number is 400."""
    path = "/api/v1/namespaces/default/configmaps"
    for number in range(3):
        await world.a.request("POST", path, {"metadata": {"name": f"x-{number}"}})
    page = (await world.a.request("GET", path, query={"limit": "2"})).json
    assert page["metadata"]["remainingItemCount"] == 1
    token = page["metadata"]["continue"]
    await switch(world.b, kind="compact")
    for asked in (token, "made-up"):
        reply = await world.a.request("GET", path, query={"limit": "2", "continue": asked})
        assert (reply.status, reply.reason) == (410, "Expired")
    assert (await world.a.request("GET", path, query={"limit": "many"})).status == 400


async def test_lists_that_nobody_reads_on_are_forgotten(world: World) -> None:
    """At most so many are kept; the oldest goes."""
    path = "/api/v1/namespaces/default/configmaps"
    for number in range(2):
        await world.a.request("POST", path, {"metadata": {"name": f"x-{number}"}})
    first = (await world.a.request("GET", path, query={"limit": "1"})).json["metadata"]
    for _ in range(OPEN_MAX):
        last = (await world.a.request("GET", path, query={"limit": "1"})).json["metadata"]
    codes = [
        (await world.a.request("GET", path, query={"limit": "1", "continue": each["continue"]}))
        for each in (first, last)
    ]
    assert [reply.status for reply in codes] == [410, 200]


async def test_compaction_is_an_error_event_in_a_good_answer(world: World) -> None:
    """A watch from before a compaction reads ERROR 410 Expired inside HTTP 200, then the end."""
    since = world.store.revision
    await world.a.request("POST", MAPS, config("x"))
    await switch(world.b, kind="compact")
    async with world.a.watch(MAPS, resourceVersion=since) as watch:
        event = await watch.next_event()
        assert event is not None
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert event["object"]["reason"] == "Expired"
        assert event["object"]["message"].startswith("too old resource version: ")
        assert await watch.next_event() is None


async def test_what_is_on_can_be_read(world: World) -> None:
    """GET tells modes, rules with what is left of them, and who watches."""
    world.faults.set_mode(Mode.FROZEN, "ctl-0")
    world.faults.add(Rule("fail", status=500, count=3))
    reply = await world.b.request("GET", "/sandbox/faults")
    assert reply.json["modes"] == {"ctl-0": "frozen"}
    assert reply.json["rules"][0]["count"] == 3
    world.faults.clear()
    after = (await world.b.request("GET", "/sandbox/faults")).json
    assert (after["modes"], after["rules"]) == ({}, [])


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "dwon"},
        {"kind": "down", "token": "nobody's"},
        {"kind": "down", "user": "ctl-9"},
        {"kind": "fail", "statsu": 500},
        {"kind": "fail", "status": "many"},
        {},
    ],
)
async def test_misspelt_fault_is_refused(world: World, fault: dict[str, object]) -> None:
    """A fault that is not understood is 400 and changes nothing."""
    reply = await world.a.request("POST", "/sandbox/faults", fault)
    assert reply.status == 400
    on = world.faults.as_json()
    assert (on["modes"], on["rules"]) == ({}, [])
