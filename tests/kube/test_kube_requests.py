"""The ConfigMap of requests: a picture that survives everything, and removals that lose nothing."""

import json

import pytest
import trio
from fake_api import FakeApi, Trouble
from kube_rooms import MAPS, NAMES, TIMES, Server, wait_until
from trio.testing import MockClock

from controller.errors import CommandOutcomeUnknown, KubeForbidden, KubeRefused
from controller.kube import KubeRequests, Transport
from controller.sandbox.apiserver import Rule
from statemachine.observations import Request

PATH = f"{MAPS}/mg-requests"
MERGE = "application/merge-patch+json"
LINE = json.dumps({"v": 1, "kind": "switchover", "expires": "2026-01-31T12:00:00Z"})


@pytest.fixture
def requests(transport: Transport) -> KubeRequests:
    return KubeRequests(transport, NAMES, TIMES)


async def add(transport: Transport, key: str, line: str | None = LINE) -> None:
    """As the command line does."""
    await transport.request("PATCH", PATH, None, {"data": {key: line}}, MERGE)


async def keys(transport: Transport) -> list[str]:
    found = await transport.request("GET", PATH)
    return sorted(found.get("data") or {})


class Seen:
    """What a watch has shown."""

    def __init__(self) -> None:
        self.pictures: list[tuple[Request, ...]] = []
        self.troubles: list[str] = []

    async def show(self, requests: tuple[Request, ...]) -> None:
        self.pictures.append(requests)

    def ids(self) -> list[str]:
        return [r.id for r in self.pictures[-1]] if self.pictures else []


async def test_the_map_is_made_and_what_people_add_is_seen(
    requests: KubeRequests, transport: Transport, nursery: trio.Nursery
) -> None:
    """People need no right to make the ConfigMap; each entry is seen after it was written, a
    malformed one with its trouble, and an unrelated ConfigMap not at all."""
    seen = Seen()
    nursery.start_soon(requests.watch, seen.show, seen.troubles.append)
    await wait_until(lambda: seen.pictures)
    assert await keys(transport) == []
    await transport.request(
        "POST", MAPS, body={"metadata": {"name": "other"}, "data": {"r-0": LINE}}
    )
    await add(transport, "r-2")
    await add(transport, "r-1", "{nonsense")
    await wait_until(lambda: seen.ids() == ["r-1", "r-2"])
    assert "not JSON" in seen.pictures[-1][0].trouble
    assert seen.pictures[-1][1].kind == "switchover"
    await requests.close("r-1")
    await wait_until(lambda: seen.ids() == ["r-2"])
    assert not any(seen.troubles)


async def test_a_map_that_may_not_be_made_is_a_trouble(
    requests: KubeRequests, server: Server, nursery: trio.Nursery
) -> None:
    """The status says which right is missing, and the watch goes on."""
    server.faults.add(Rule("fail", verb="create", status=403))
    seen = Seen()
    nursery.start_soon(requests.watch, seen.show, seen.troubles.append)
    await wait_until(lambda: seen.pictures and any(seen.troubles))
    assert "create configmaps" in seen.troubles[0]


async def test_an_entry_is_removed_and_no_other(
    requests: KubeRequests, transport: Transport, server: Server
) -> None:
    """Also when others write at the same moment: a conflict is tried again. What is gone is
    success, with or without the ConfigMap."""
    await requests.close("r-1")
    await transport.request("POST", MAPS, body={"metadata": {"name": "mg-requests"}})
    for key in ("r-1", "r-2"):
        await add(transport, key)
    server.faults.add(Rule("fail", verb="update", status=409, count=2))
    await requests.close("r-1")
    assert await keys(transport) == ["r-2"]
    await requests.close("r-1")
    assert await keys(transport) == ["r-2"]


async def test_labels_and_notes_of_others_are_kept(
    requests: KubeRequests, transport: Transport
) -> None:
    """Whoever manages the ConfigMap finds it as it was, but for the entry."""
    meta = {"name": "mg-requests", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    await transport.request("POST", MAPS, body={"metadata": meta, "data": {"r-1": LINE}})
    await requests.close("r-1")
    found = (await transport.request("GET", PATH))["metadata"]
    assert (found["labels"], found["annotations"]) == ({"a": "b"}, {"c": "d"})


async def test_what_went_wrong_is_told_as_it_is(
    requests: KubeRequests, transport: Transport, server: Server
) -> None:
    """A lost answer is unknown, 403 is forbidden, conflicts without end are given up."""
    await transport.request(
        "POST", MAPS, body={"metadata": {"name": "mg-requests"}, "data": {"r-1": LINE}}
    )
    server.faults.add(Rule("fail", verb="update", status=409, count=9))
    with pytest.raises(KubeRefused):
        await requests.close("r-1")
    server.faults.clear()
    server.faults.add(Rule("fail", verb="update", status=403, count=1))
    with pytest.raises(KubeForbidden, match="update configmaps/mg-requests"):
        await requests.close("r-1")
    server.faults.add(Rule("lose_reply", verb="update", count=1))
    with pytest.raises(CommandOutcomeUnknown):
        await requests.close("r-1")
    await requests.close("r-1")
    assert await keys(transport) == []


async def test_a_late_removal_removes_nothing_that_came_meanwhile(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The removal hangs in the API server; a person adds an entry; the removal lands late and is
    refused by its resourceVersion."""
    api = FakeApi(nursery, late_s=60.0)
    api.put(MAPS, {"metadata": {"name": "mg-requests"}, "data": {"r-1": LINE}})
    api.fault = lambda _, method: None if method == "GET" else Trouble.LATE
    with trio.fail_after(300):
        with pytest.raises(CommandOutcomeUnknown):
            await KubeRequests(api.client(), NAMES, TIMES).close("r-1")
        api.put(MAPS, {"metadata": {"name": "mg-requests"}, "data": {"r-1": LINE, "r-2": LINE}})
        await trio.sleep(120)
    assert sorted(api.objects[PATH]["data"]) == ["r-1", "r-2"]
