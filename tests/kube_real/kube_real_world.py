"""What the tests on a real control plane hold in their hands: the cluster, a release, its clients.

Everything is done with kubectl and helm, as people do it; what is looked at often is read with a
client of its own. A book of every write is kept by the clients' own words.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

from controller.sandbox.apiserver import CONFIGMAPS, LEASES, PODS, ApiError, Object
from controller.sandbox.demo.book import Book, check
from controller.sandbox.node.http_api import HttpApi
from controller.sandbox.node.http_client import client_of_kubeconfig

ROOT = Path(__file__).parents[2]
CHART = ROOT / "manifests/chart/memgraph-controller"
NAMESPACE = "graphs"
COMMAND_S = 320
WHOLE_S = 240.0
CALM_S = 1.5  # without an event: nothing is still being put in order
LOOK_S = 0.1
ANNOTATION = "memgraph-controller/"
COMPONENT = "app.kubernetes.io/component"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


class CommandFailed(AssertionError):
    """A command ended with another code than 0; the message is what it said."""


@frozen
class Cluster:
    """The control plane of this run."""

    root: Path
    kubeconfig: Path
    api: HttpApi

    @classmethod
    def of_environment(cls) -> Cluster:
        """As ./scripts/kube/inside describes it."""
        kubeconfig = Path(os.environ["KUBECONFIG"])
        api = HttpApi(client_of_kubeconfig(kubeconfig))
        return cls(Path(os.environ["KUBE_ROOT"]), kubeconfig, api)

    def run(self, *words: str, stdin: str = "") -> str:
        """What a command prints. Raises CommandFailed."""
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=COMMAND_S, input=stdin, check=False
        )
        if done.returncode:
            raise CommandFailed(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    async def do(self, *words: str, stdin: str = "") -> str:
        """The same, while everything else goes on."""
        return await trio.to_thread.run_sync(
            partial(self.run, *words, stdin=stdin), abandon_on_cancel=True
        )

    def make_namespace(self, name: str) -> None:
        """Pods of it must be `restricted`, or are refused."""
        self.run("kubectl", "create", "namespace", name)
        self.run("kubectl", "label", "namespace", name, RESTRICTED)

    def plane(self, verb: str) -> str:
        """./scripts/kube/cluster with this verb."""
        return self.run(str(ROOT / "scripts/kube/cluster"), verb, str(self.root / "cluster"))

    def audit(self) -> list[dict[str, Any]]:
        """Every request so far, as the API server logged it."""
        lines = (self.root / "cluster/audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]


@define(eq=False)
class Load:
    """Clients at work, and their book."""

    book: Book = field(factory=Book)
    prefix: str = ""

    async def wait_writes(self, count: int) -> None:
        """Until so many more were acknowledged."""
        wanted = len(self.book.acked) + count
        while len(self.book.acked) < wanted:
            await trio.sleep(LOOK_S)


@frozen
class Release:
    """One helm release."""

    cluster: Cluster
    namespace: str
    name: str
    chart: Path = CHART

    # -- helm

    def helm(self, verb: str, *words: str) -> str:
        """`helm verb name ...` in the release's namespace. Raises CommandFailed."""
        return self.cluster.run("helm", verb, self.name, *words, "--namespace", self.namespace)

    def install(self, *values: str) -> float:
        """`helm install --wait`; returns how long it took, in seconds.

        An old main that is refused is rebuilt without asking: no person is there to look at it.
        """
        begin_s = time.monotonic()
        sets = [word for value in ("autoReset=always", *values) for word in ("--set", value)]
        self.helm("install", str(self.chart), "--wait", "--timeout", "300s", *sets)
        return time.monotonic() - begin_s

    async def upgrade(self, *values: str, chart: Path | None = None) -> None:
        """`helm upgrade --wait`."""
        sets = [word for value in values for word in ("--set", value)]
        words = (str(chart or self.chart), "--reset-then-reuse-values", "--wait")
        await trio.to_thread.run_sync(
            partial(self.helm, "upgrade", *words, "--timeout", "300s", *sets)
        )

    async def kubectl(self, *words: str, stdin: str = "") -> str:
        """`kubectl` in the release's namespace."""
        return await self.cluster.do("kubectl", "-n", self.namespace, *words, stdin=stdin)

    # -- what is there

    async def get(self, kind: Any, name: str) -> Object | None:
        """An object, None when there is none or nobody answers."""
        try:
            return await self.cluster.api.get(kind, self.namespace, name)
        except ApiError:
            return None

    async def pods(self, component: str) -> dict[str, Object]:
        """Pods of the release by name: of "database" or "controller"."""
        selector = f"app.kubernetes.io/instance={self.name},{COMPONENT}={component}"
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        listed = await self.cluster.api.request("GET", path, query={"labelSelector": selector})
        return {pod["metadata"]["name"]: pod for pod in listed["items"]}

    async def noted(self) -> dict[str, str]:
        """The ledger's annotations: phase, main, sync, term, seq."""
        found = await self.get(CONFIGMAPS, f"{self.name}-ledger") or {}
        notes = (found.get("metadata") or {}).get("annotations") or {}
        return {key.removeprefix(ANNOTATION): value for key, value in notes.items()}

    async def ledger(self) -> dict[str, str]:
        """The ledger's data."""
        found = await self.get(CONFIGMAPS, f"{self.name}-ledger") or {}
        return dict(found.get("data") or {})

    async def entries(self) -> list[dict[str, Any]]:
        """The live entries, in order."""
        lines = await self.ledger()
        return [json.loads(lines[key]) for key in sorted(lines) if key.isdecimal()]

    async def leader(self) -> str:
        """The controller pod that holds the leader Lease."""
        lease = await self.get(LEASES, f"{self.name}-leader") or {}
        return str((lease.get("spec") or {}).get("holderIdentity") or "").split("/")[0]

    async def instances(self) -> list[str]:
        """Names of the database pods that the StatefulSet wants."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets/{self.name}-db"
        wanted = (await self.cluster.api.request("GET", path))["spec"]["replicas"]
        return [f"{self.name}-db-{number}" for number in range(wanted)]

    async def endpoints(self, service: str) -> list[str]:
        """host:port of every ready endpoint in the slices of a Service."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        query = {"labelSelector": f"kubernetes.io/service-name={service}"}
        listed = await self.cluster.api.request("GET", path, query=query)
        return sorted(
            f"{address}:{part['ports'][0]['port']}"
            for part in listed["items"]
            for endpoint in part.get("endpoints") or []
            if endpoint["conditions"]["ready"]
            for address in endpoint["addresses"]
        )

    async def service(self, name: str) -> str:
        """host:port of a Service's own address."""
        path = f"/api/v1/namespaces/{self.namespace}/services/{name}"
        spec = (await self.cluster.api.request("GET", path))["spec"]
        return f"{spec['clusterIP']}:{spec['ports'][0]['port']}"

    # -- waiting

    async def wait_whole(self, deadline_s: float = WHOLE_S) -> None:
        """OPERATIONAL, every pod Ready and wanted, every instance registered, and calm."""
        seq, since_s, told = "", trio.current_time(), ""
        with trio.move_on_after(deadline_s):
            while True:
                told = await self._trouble()
                now = (await self.noted()).get("seq", "")
                if told or now != seq:
                    seq, since_s = now, trio.current_time()
                if trio.current_time() - since_s >= CALM_S:
                    return
                await trio.sleep(LOOK_S)
        raise AssertionError(f"not whole after {deadline_s} s: {told or 'not calm'}")

    async def _trouble(self) -> str:
        """What is missing, "" when nothing is."""
        try:
            phase = (await self.noted()).get("phase")
            wanted = await self.instances()
            found = {**await self.pods("database"), **await self.pods("controller")}
        except ApiError as error:
            return str(error)
        if phase != "OPERATIONAL":
            return f"phase {phase}"
        if missing := [name for name in wanted if name not in found]:
            return f"no pod {missing}"
        if bad := [name for name, pod in found.items() if not is_ready(pod) or is_going(pod)]:
            return f"not ready, or about to go: {bad}"
        last = (await self.entries())[-1]
        if len(last.get("readers") or ()) < len(wanted) - 1:
            return f"readers {last.get('readers')}"
        return ""

    async def wait_event(self, trigger: str, after_seq: int, deadline_s: float = WHOLE_S) -> Object:
        """The first entry of this trigger after a seq."""
        with trio.move_on_after(deadline_s):
            while True:
                for entry in await self.entries():
                    if entry["on"] == trigger and entry["seq"] > after_seq:
                        return entry
                await trio.sleep(LOOK_S)
        raise AssertionError(f"no {trigger} after {after_seq} within {deadline_s} s")

    async def seq(self) -> int:
        """The ledger's present position."""
        return int((await self.noted())["seq"])

    # -- faults

    async def pid(self, pod: str) -> int:
        """The main process of a pod's (first) container."""
        found = await self.get(PODS, pod)
        assert found is not None, f"no pod {pod}"
        return int(found["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2])

    async def signal(self, pod: str, number: int) -> None:
        """Send a signal to it."""
        os.kill(await self.pid(pod), number)

    async def hang(self, pod: str, seconds: float) -> None:
        """It stands still for a while; its connections stay."""
        pid = await self.pid(pod)
        os.kill(pid, signal.SIGSTOP)
        try:
            await trio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    # -- clients

    @asynccontextmanager
    async def load(self, writers: int = 3, readers: int = 1) -> AsyncIterator[Load]:
        """Clients on the Services' addresses; afterwards nothing acknowledged is lost: everything
        is whole, and every instance has every write that was acknowledged."""
        write = await self.service(f"{self.name}-gateway")
        read = await self.service(f"{self.name}-gateway-read")
        load = Load(prefix=f"{time.monotonic_ns()}-")
        words = [sys.executable, "-m", "controller.sandbox.demo.client", f"--prefix={load.prefix}"]
        words += [f"--write={write}"] * writers + [f"--read={read}"] * readers
        process = await trio.lowlevel.open_process(
            [*words, f"--intrude={read}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        async with trio.open_nursery() as nursery:
            ended = trio.Event()
            nursery.start_soon(_read_book, process.stdout, load.book, ended)
            try:
                await load.wait_writes(20)
                yield load
                await load.wait_writes(20)
            finally:
                with trio.move_on_after(30, shield=True):
                    await process.stdin.aclose()
                    await ended.wait()
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
        await self.wait_whole()
        await self.verify(load)

    async def verify(self, load: Load) -> None:
        """Every acknowledged write is on every instance, and nothing that was refused."""
        found: dict[str, frozenset[str] | None] = {}
        deadline_s = trio.current_time() + 60
        while True:
            for name, pod in (await self.pods("database")).items():
                address = pod["status"]["podIP"]
                found[name] = await trio.to_thread.run_sync(_ids_on, address, load.prefix)
            lacking = [n for n, ids in found.items() if set(load.book.acked) - (ids or frozenset())]
            if not lacking or trio.current_time() > deadline_s:
                break
            await trio.sleep(LOOK_S)  # an asynchronous replica is a moment behind
        verdict = check(load.book, found, await self.ledger(), 1)
        problems = [p for p in verdict.problems if "does not verify" not in p]
        assert not problems, problems

    def keep_logs(self) -> None:
        """Logs of the run go where a person can read them, if somebody named a place."""
        if place := os.environ.get("KUBE_LOGS"):
            shutil.copytree(self.cluster.root / "node/logs", place, dirs_exist_ok=True)


def is_ready(pod: Object) -> bool:
    """Whether its Ready condition is True."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def is_going(pod: Object) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in pod["metadata"]


def uids(pods: Mapping[str, Object]) -> set[str]:
    """Their incarnations."""
    return {pod["metadata"]["uid"] for pod in pods.values()}


async def eventually(condition: Callable[[], Any], deadline_s: float = WHOLE_S) -> None:
    """Until an async condition is true. Raises trio.TooSlowError."""
    with trio.fail_after(deadline_s):
        while not await condition():
            await trio.sleep(LOOK_S)


async def _read_book(stream: trio.abc.ReceiveStream, book: Book, ended: trio.Event) -> None:
    rest = b""
    async for data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            book.take(json.loads(line))
    ended.set()


def _ids_on(address: str, prefix: str) -> frozenset[str] | None:
    from neo4j import GraphDatabase
    from neo4j.exceptions import DriverError, Neo4jError

    query = "MATCH (n:Write) WHERE n.id STARTS WITH $prefix RETURN n.id AS id"
    try:
        with (
            GraphDatabase.driver(f"bolt://{address}:7687", auth=None) as driver,
            driver.session() as session,
        ):
            return frozenset(record["id"] for record in session.run(query, prefix=prefix))
    except (Neo4jError, DriverError, OSError):
        return None


def parsed(text: str) -> Sequence[str]:
    """The words of each line of a table, its head left out."""
    return [line for line in text.splitlines()[1:] if line]
