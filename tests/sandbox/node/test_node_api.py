"""The node reaches an API server over HTTP, shown against the stand-in that is like a real one."""

from __future__ import annotations

import pytest
import trio

from controller.sandbox.apiserver import (
    CONFIGMAPS,
    NODES,
    PODS,
    ApiError,
    Faults,
    Mode,
    Store,
    serve,
)
from controller.sandbox.kubelet.mirror import Mirror
from controller.sandbox.node.http_api import HttpApi
from controller.sandbox.node.http_client import HttpClient

DEADLINE_S = 60.0
BODY = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


class Both:
    """A server seen from inside and over HTTP."""

    def __init__(self, store: Store, faults: Faults, url: str) -> None:
        self.store, self.faults = store, faults
        self.api = HttpApi(HttpClient(url, "", None))


@pytest.fixture
async def both(nursery: trio.Nursery) -> Both:
    """A stand-in without users."""
    store, faults = Store(), Faults()

    async def start(task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        await serve(store, "127.0.0.1", 0, faults=faults, task_status=task_status)

    return Both(store, faults, await nursery.start(start))


async def test_pods_are_bound_reported_and_ended(both: Both) -> None:
    """Binding, status and deletion reach the very incarnation, and no other."""
    with trio.fail_after(DEADLINE_S):
        pod = await both.api.create(PODS, "default", BODY)
        await both.api.bind("default", "p", "node-0")
        await both.api.write_status(PODS, pod, {"phase": "Running"})
        found = await both.api.get(PODS, "default", "p")
        assert (found["spec"]["nodeName"], found["status"]["phase"]) == ("node-0", "Running")
        with pytest.raises(ApiError, match="409"):
            await both.api.delete(PODS, "default", "p", uid="former", grace_s=0)
        await both.api.delete(PODS, "default", "p", uid=pod["metadata"]["uid"], grace_s=0)
        with pytest.raises(ApiError, match="404"):
            await both.api.write_status(PODS, pod, {"phase": "Failed"})


async def test_a_node_is_ready_when_it_is_made(both: Both) -> None:
    """A status that a server ignores in a creation is written afterwards."""
    with trio.fail_after(DEADLINE_S):
        condition = {"type": "Ready", "status": "True"}
        body = {"metadata": {"name": "n"}, "spec": {}, "status": {"conditions": [condition]}}
        await both.api.create(NODES, "", body)
        found = await both.api.get(NODES, "", "n")
    assert found["status"]["conditions"] == [condition]


async def test_a_mirror_follows_over_outages(both: Both, nursery: trio.Nursery) -> None:
    """A server that goes away, and one that has forgotten, cost a moment and no object."""
    mirror = Mirror(both.api, CONFIGMAPS, lambda: None)
    with trio.fail_after(DEADLINE_S):
        both.store.create(CONFIGMAPS, "default", {"metadata": {"name": "a"}})
        await nursery.start(mirror.run)
        both.store.create(CONFIGMAPS, "default", {"metadata": {"name": "b"}})
        while len(mirror.objects) < 2:
            await trio.sleep(0.01)
        both.faults.set_mode(Mode.DOWN, "")
        both.store.delete(CONFIGMAPS, "default", "a")
        both.store.create(CONFIGMAPS, "default", {"metadata": {"name": "c"}})
        both.store.compact()
        both.faults.set_mode(Mode.OPEN, "")
        while sorted(name for _, name in mirror.objects) != ["b", "c"]:
            await trio.sleep(0.01)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Nobody listens: 503, as the kubelet expects of whoever refuses for a while."""
    with trio.fail_after(DEADLINE_S):
        with pytest.raises(ApiError, match="503"):
            await HttpApi(HttpClient("http://127.0.0.1:1", "", None)).select(PODS)
