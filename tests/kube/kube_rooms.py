"""What the tests of this room share: names, times, the stand-in seen from both sides."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio_asyncio
from attrs import frozen

from controller.kube import ClientConfig, KubeNames, KubeTimes, Transport, open_client
from controller.sandbox.apiserver import Faults, Store
from statemachine.ids import Seq, Term
from statemachine.observations import GatewayFacts

TOKENS = {"token-a": "ctl-0", "token-b": "ctl-1"}
NAMES = KubeNames("mg", "default", "mg-memgraph", "mg-controller-0", "uid-0")
OTHER_NAMES = KubeNames("mg", "default", "mg-memgraph", "mg-controller-1", "uid-1")
TIMES = KubeTimes()
MAPS = NAMES.config_maps_path
LEASES = NAMES.leases_path
PODS = NAMES.pods_path


@frozen
class Server:
    """A stand-in that knows two clients by their tokens."""

    store: Store
    faults: Faults
    url: str
    folder: Path

    def kubeconfig(self, token: str) -> str:
        """Write a kubeconfig for this user; return its path."""
        path = self.folder / f"kubeconfig-{token}"
        path.write_text(json.dumps(kubeconfig(self.url, token)))
        return str(path)


def kubeconfig(url: str, token: str) -> dict[str, Any]:
    """A kubeconfig with one of each."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


@asynccontextmanager
async def client_of(server: Server, token: str) -> AsyncIterator[Transport]:
    """A client of this user, in an asyncio loop of its own unless there is one."""
    config = ClientConfig(server.kubeconfig(token))
    async with AsyncExitStack() as stack:
        if trio_asyncio.current_loop.get() is None:
            await stack.enter_async_context(trio_asyncio.open_loop())
        yield await stack.enter_async_context(open_client(config))


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap to be sent."""
    return {"metadata": {"name": name}, "data": data}


def pod(name: str, **labels: str) -> dict[str, Any]:
    """A pod of the release to be sent."""
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": "mg", **labels}},
        "spec": {"containers": [{"name": "memgraph", "image": "memgraph"}]},
    }


def facts(
    acked: int = 1, *, rw_open: bool = False, vantage: Mapping[str, str] | None = None
) -> GatewayFacts:
    """What this pod's gateway says."""
    return GatewayFacts(NAMES.pod_name, "", Seq(acked), rw_open, Term(2), 3, vantage or {})


async def wait_until(true: Any) -> None:
    """Poll a plain function, on real sockets; the fixture's limit bounds it."""
    while not true():
        await trio.sleep(0.005)
