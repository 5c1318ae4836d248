"""The fake of the virtual-time tests answers as the server on real sockets does.

It does against the stand-in always, and against a real API server when the environment variable
MEMGRAPH_CONTROLLER_KUBECONFIG names its kubeconfig (./scripts/kube-test does that).
"""

import os
from typing import Any

import trio
import trio_asyncio
from fake_api import FakeApi
from kube_rooms import LEASES, MAPS, Server, client_of, config_map

from controller.errors import ControllerError, KubeRefused
from controller.kube import ClientConfig, Transport, open_client

REAL = os.environ.get("MEMGRAPH_CONTROLLER_KUBECONFIG", "")
DEADLINE_S = 60.0

LEASE = {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 5}}


async def outcome(transport: Transport, method: str, path: str, body: Any = None) -> str:
    """What became of a request, in a word."""
    try:
        await transport.request(method, path, body=body)
    except KubeRefused as error:
        return str(error.status)
    except ControllerError as error:
        return type(error).__name__
    return "ok"


async def probe(transport: Transport) -> list[str]:
    """Everything that the adapters decide by."""
    seen = [await outcome(transport, "GET", f"{MAPS}/x")]
    seen += [await outcome(transport, "PUT", f"{MAPS}/x", config_map("x"))]
    seen += [await outcome(transport, "POST", MAPS, config_map("x")) for _ in range(2)]
    first = await transport.request("GET", f"{MAPS}/x")
    unchanged = await transport.request("PUT", f"{MAPS}/x", body=first)
    seen += [str(unchanged["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"])]
    seen += [await outcome(transport, "PUT", f"{MAPS}/x", first | {"data": {"k": "v"}})]
    seen += [await outcome(transport, "PUT", f"{MAPS}/x", first)]
    alien = config_map("x")
    alien["metadata"]["uid"] = "another"
    seen += [await outcome(transport, "PUT", f"{MAPS}/x", alien)]
    seen += [await outcome(transport, "PUT", f"{MAPS}/x", config_map("x", k="unconditional"))]
    seen += [await outcome(transport, "POST", LEASES, LEASE)]
    seen += [await outcome(transport, "PUT", f"{LEASES}/l", LEASE)]
    wrong = {"preconditions": {"uid": "another"}}
    seen += [await outcome(transport, "DELETE", f"{MAPS}/x", wrong)]
    seen += [await outcome(transport, "DELETE", f"{MAPS}/x") for _ in range(2)]
    listed = await transport.request("GET", MAPS, {"fieldSelector": "metadata.name=x"})
    return [*seen, str(len(listed["items"]))]


async def test_fake_and_server_agree(server: Server, nursery: trio.Nursery) -> None:
    """The same requests end the same way on both."""
    async with client_of(server, "token-a") as transport:
        real = await probe(transport)
    assert await probe(FakeApi(nursery).client()) == real
    assert set(real) == {"ok", "KubeNotFound", "409", "422", "0", "True"}


if REAL:  # not a skip: without a cluster there is nothing that could be missed

    async def test_fake_and_real_server_agree(nursery: trio.Nursery) -> None:
        """The same requests end the same way on a real API server."""
        with trio.fail_after(DEADLINE_S):
            async with trio_asyncio.open_loop(), open_client(ClientConfig(REAL)) as transport:
                real = await probe(transport)
                await transport.request("DELETE", f"{LEASES}/l")
        assert await probe(FakeApi(nursery).client()) == real
