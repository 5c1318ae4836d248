"""A release on the API stand-in, and the command line run against it."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import trio
import web_picture as p
import yaml
from attrs import field, frozen
from click.testing import CliRunner, Result

from controller.cli import cli
from controller.sandbox.apiserver import CONFIGMAPS, LEASES, PODS, Faults, Store, serve
from controller.setting_values import Address
from controller.web import Snapshot
from controller.web import serve as web_serve

RELEASE_LABELS = {"app.kubernetes.io/instance": "graph"}


@frozen
class Anywhere:
    """An address for the HTTP server."""

    http_bind_address: Address = field(factory=lambda: Address("127.0.0.1", 0))


class Controller:
    """A controller's HTTP server with a picture that the test exchanges."""

    def __init__(self) -> None:
        self.snapshot: Snapshot = p.snapshot()
        self.url = ""

    async def serve(self, nursery: trio.Nursery) -> None:
        """Answer until the nursery ends."""
        address = await nursery.start(web_serve, Anywhere(), lambda: self.snapshot)
        self.url = f"http://{address.host}:{address.port}"


@frozen
class World:
    """Seen from inside (store, faults) and from outside (kubeconfig)."""

    store: Store
    faults: Faults
    kubeconfig: Path

    async def cli(self, *args: str, env: dict[str, str] | None = None) -> Result:
        """Run a command with this kubeconfig in a thread, as a user would."""
        command = [*args, "--kubeconfig", str(self.kubeconfig)]
        return await invoke(*command, env=env)

    def write_ledger(self, data: dict[str, str]) -> None:
        """Exchange what stands in the ledger's ConfigMap."""
        found = self.store.get(CONFIGMAPS, "prod", "graph-ledger")
        self.store.replace(CONFIGMAPS, "prod", "graph-ledger", {**found, "data": data})


async def invoke(*args: str, env: dict[str, str] | None = None) -> Result:
    """Run a command in a thread: it blocks, while servers of the test go on."""
    clean = dict.fromkeys(("KUBECONFIG", "NAMESPACE", "RELEASE_NAME", "HTTP_PORT"), None)
    run = partial(CliRunner().invoke, cli, list(args), env={**clean, **(env or {})})
    return await trio.to_thread.run_sync(run)


async def make_world(nursery: trio.Nursery, folder: Path) -> World:
    """Start the stand-in and fill it."""
    store, faults = Store(), Faults()
    url = await nursery.start(partial(serve, store, "127.0.0.1", 0, faults=faults))
    world = World(store, faults, folder / "kubeconfig")
    world.kubeconfig.write_text(yaml.safe_dump(kubeconfig(url)))
    ledger = p.history()
    labels = {**RELEASE_LABELS, "memgraph-controller/kind": "ledger"}
    body = {"metadata": {"name": "graph-ledger", "labels": labels}, "data": ledger.data}
    store.create(CONFIGMAPS, "prod", body)
    for i in range(3):
        add_pod(store, f"memgraph-{i}", "database", f"127.0.1.{i}")
    add_pod(store, "controller-a", "controller", "127.0.2.1")
    add_lease(store, "controller-a", {"memgraph-0": "silent", "memgraph-1": "ok"})
    return world


def kubeconfig(url: str, namespace: str = "prod") -> dict[str, Any]:
    """One context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "box",
        "clusters": [{"name": "box", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [
            {"name": "box", "context": {"cluster": "box", "user": "me", "namespace": namespace}}
        ],
    }


def add_pod(store: Store, name: str, component: str, ip: str) -> None:
    """A running pod of the release."""
    labels = {**RELEASE_LABELS, "app.kubernetes.io/component": component}
    spec = {"containers": [{"name": "memgraph", "image": "x"}]}
    made = store.create(PODS, "prod", {"metadata": {"name": name, "labels": labels}, "spec": spec})
    status = {"phase": "Running", "podIP": ip}
    store.replace(PODS, "prod", name, {**made, "status": status}, subresource="status")


def add_lease(store: Store, pod: str, vantage: dict[str, str]) -> None:
    """The gateway Lease of a controller pod, renewed just now."""
    prefix = "memgraph-controller/"
    notes = {
        prefix + "acked-seq": "6",
        prefix + "rw-open": "true",
        prefix + "term": "2",
        prefix + "sessions": "5",
        prefix + "vantage": json.dumps(vantage),
    }
    labels = {prefix + "release": "graph", prefix + "kind": "gateway"}
    meta = {"name": f"graph-gateway-{pod}", "labels": labels, "annotations": notes}
    renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": pod, "leaseDurationSeconds": 5, "renewTime": renewed}
    store.create(LEASES, "prod", {"metadata": meta, "spec": spec})
