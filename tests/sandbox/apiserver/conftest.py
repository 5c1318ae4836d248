"""The stand-in on a free port; and the backends that the contract suite runs against."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import trio
from api_client import Api, api_of_kubeconfig, real_kubeconfig
from api_rooms import TOKENS, Room, World

from controller.sandbox.apiserver import Faults, Store, serve

BACKENDS = ["stand-in", *(["kubeconfig"] if real_kubeconfig() else [])]


DEADLINE_S = 20.0


@pytest.fixture
async def limit(nursery: trio.Nursery) -> None:
    """Nothing that uses a socket may hang."""

    async def wait_over() -> None:
        await trio.sleep(DEADLINE_S)
        raise TimeoutError(f"the test took more than {DEADLINE_S} s")

    nursery.start_soon(wait_over)


@pytest.fixture
async def world(nursery: trio.Nursery, limit: None) -> World:
    store, faults = Store(), Faults()
    url = await nursery.start(_serve, store, faults)
    return World(store, faults, url)


async def _serve(
    store: Store, faults: Faults, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    await serve(store, "127.0.0.1", 0, faults=faults, tokens=TOKENS, task_status=task_status)


async def _furnished(api: Api, path: str) -> None:
    """A real controller manager puts a ConfigMap into each new namespace, a moment later: no watch
    of a test shall meet it."""
    while (await api.request("GET", path)).status != 200:
        await trio.sleep(0.05)


@pytest.fixture(params=BACKENDS)
async def room(
    request: pytest.FixtureRequest, nursery: trio.Nursery, limit: None
) -> AsyncIterator[Room]:
    if request.param == "stand-in":
        api = Api(await nursery.start(serve, Store(), "127.0.0.1", 0))
    else:
        kubeconfig = real_kubeconfig()
        assert kubeconfig is not None
        api = api_of_kubeconfig(kubeconfig)
    name = f"contract-{uuid.uuid4().hex[:10]}"
    made = await api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert made.status == 201, made.text
    if request.param != "stand-in":
        await _furnished(api, f"/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt")
    yield Room(api, name)
    with trio.CancelScope(shield=True), trio.move_on_after(10):
        await api.request("DELETE", f"/api/v1/namespaces/{name}")
