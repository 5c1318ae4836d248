"""A running sandbox: what there is, what its API server says, and the faults one can do to it.

Promise: faults do to the processes what their names say, and to the right ones: roles are resolved
by what the stored ledger and the leader Lease say at that moment. Nothing in here knows what a
controller believes.
"""

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import trio
from attrs import field, frozen

from controller.sandbox import objects
from controller.sandbox.apiserver import (
    CONFIGMAPS,
    LEASES,
    PODS,
    ApiError,
    Faults,
    Object,
    Store,
)
from controller.sandbox.apiserver import Mode as ApiMode
from controller.sandbox.block import API_PORT, Block
from controller.sandbox.kubelet import InProcess, Kubelet, NotRunning
from controller.sandbox.links import Links

LOOK_S = 0.02  # between two looks at the ledger while waiting for something
ANNOTATION = "memgraph-controller/"


class NoSuchTarget(Exception):
    """There is nothing of that name to break; the message lists what there is."""


@frozen
class SandboxOptions:
    """What kind of world. `env` is added to every controller pod's environment."""

    instances: int = 3
    controllers: int = 2
    name: str = ""
    env: Mapping[str, str] = field(factory=dict, hash=False)
    waits: bool = False  # the controllers are started later, by start_controllers()
    memgraph: str = ""  # path of a real binary; empty: our stand-in


class Sandbox:
    """A running world. Made by `open_sandbox`."""

    def __init__(
        self,
        options: SandboxOptions,
        block: Block,
        store: Store,
        faults: Faults,
        kubelet: Kubelet,
        address_of: Callable[[str], str],
        links: Links,
    ) -> None:
        self.options, self.block = options, block
        self._store, self._faults, self._kubelet = store, faults, kubelet
        self.address_of = address_of
        self._links = links
        self.api_url = f"http://{block.api_address}:{API_PORT}"
        self.kubeconfig = block.directory / "kubeconfig"

    # -- what there is

    @property
    def instances(self) -> list[str]:
        """Pod names of the instances."""
        return [objects.instance_name(n) for n in range(self.options.instances)]

    @property
    def controllers(self) -> list[str]:
        """Names of the controller pods."""
        return [objects.controller_name(n) for n in range(self.options.controllers)]

    def gateway(self, controller: str) -> str:
        """host:port of a controller pod's read/write gateway."""
        return f"{self.address_of(controller)}:{objects.BOLT_PORT}"

    def read_gateway(self, controller: str) -> str:
        """host:port of a controller pod's read-only gateway."""
        return f"{self.address_of(controller)}:{objects.READ_PORT}"

    def bolt(self, instance: str) -> str:
        """host:port of an instance itself, past every gateway."""
        return f"{self.address_of(instance)}:{objects.BOLT_PORT}"

    def log_path(self, pod: str) -> Path:
        """What the pod's process wrote to its output."""
        return self._kubelet.log_path(pod)

    def pid(self, pod: str) -> int:
        """Process of the pod's container; raises NotRunning."""
        return self._kubelet.pid(pod)

    def uid(self, pod: str) -> str:
        """The pod's present incarnation, "" while there is none."""
        return str((self._get(PODS, pod) or {}).get("metadata", {}).get("uid", ""))

    def card(self) -> dict[str, object]:
        """Everything that somebody outside needs to use this sandbox."""
        pods = self.controllers
        return {
            "name": self.block.name,
            "directory": str(self.block.directory),
            "kubeconfig": str(self.kubeconfig),
            "api": self.api_url,
            "instances": {i: self.bolt(i) for i in self.instances},
            "gateways": {c: self.gateway(c) for c in pods},
            "read_gateways": {c: self.read_gateway(c) for c in pods},
            "http": {c: f"http://{self.address_of(c)}:{objects.HTTP_PORT}" for c in pods},
        }

    # -- what the API server says

    def ledger(self) -> Mapping[str, str]:
        """The ledger's `data` as it is stored; empty before there is one."""
        found = self._get(CONFIGMAPS, f"{objects.RELEASE}-ledger")
        return dict(found.get("data") or {}) if found else {}

    def archives(self) -> dict[int, Mapping[str, str]]:
        """The archives' `data`, by number."""
        found: dict[int, Mapping[str, str]] = {}
        while archive := self._get(CONFIGMAPS, f"{objects.RELEASE}-ledger-{len(found) + 1:06d}"):
            found[len(found) + 1] = dict(archive.get("data") or {})
        return found

    def history(self) -> dict[str, str]:
        """Every entry, in archives or in the live part, by key."""
        pieces = [*self.archives().values(), self.ledger()]
        return {key: piece[key] for piece in pieces for key in piece if key.isdecimal()}

    def noted(self, what: str) -> str:
        """An annotation of the ledger: phase, main, sync, term, seq; "" when there is none."""
        found = self._get(CONFIGMAPS, f"{objects.RELEASE}-ledger") or {}
        notes = found.get("metadata", {}).get("annotations") or {}
        return str(notes.get(ANNOTATION + what, ""))

    def leader(self) -> str:
        """The controller pod that holds the leader Lease, "" for none."""
        lease = self._get(LEASES, f"{objects.RELEASE}-leader") or {}
        return str(lease.get("spec", {}).get("holderIdentity") or "").split("/")[0]

    def _get(self, kind: object, name: str) -> Object | None:
        try:
            return self._store.get(kind, objects.NAMESPACE, name)  # type: ignore[arg-type]
        except ApiError:
            return None

    def pods_ready(self) -> bool:
        """Whether every instance's pod is Ready."""
        return all(self._is_ready(i) for i in self.instances)

    def controllers_ready(self) -> bool:
        """Whether every controller pod is Ready."""
        return all(self._is_ready(c) for c in self.controllers)

    def _is_ready(self, pod: str) -> bool:
        status = (self._get(PODS, pod) or {}).get("status") or {}
        conditions = status.get("conditions") or []
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def is_whole(self) -> bool:
        """OPERATIONAL, every pod Ready, and every instance registered again."""
        if self.noted("phase") != "OPERATIONAL":
            return False
        if not (self.pods_ready() and self.controllers_ready()):
            return False
        lines = self.ledger()
        last = json.loads(lines[max(filter(str.isdecimal, lines))])
        return len(last.get("readers") or ()) >= self.options.instances - 1

    async def wait_phase(self, phase: str, timeout_s: float) -> None:
        """Until the stored ledger says so. Raises trio.TooSlowError."""
        with trio.fail_after(timeout_s):
            while self.noted("phase") != phase:  # noqa: ASYNC110 - looks at the world
                await trio.sleep(LOOK_S)

    async def wait_whole(self, timeout_s: float, calm_s: float = 1.5) -> None:
        """Until `is_whole` and nothing happened for `calm_s`. Raises trio.TooSlowError."""
        with trio.fail_after(timeout_s):
            seq, since_s = "", trio.current_time()
            while True:
                if not self.is_whole() or self.noted("seq") != seq:
                    seq, since_s = self.noted("seq"), trio.current_time()
                if trio.current_time() - since_s >= calm_s:
                    return
                await trio.sleep(LOOK_S)

    # -- faults

    def resolve(self, target: str) -> str:
        """A pod's name, also for `main`, `sync` and `leader`, by what the ledger says now.

        Raises NoSuchTarget.
        """
        by_role = {
            "main": self.noted("main"),
            "sync": self.noted("sync").split(",")[0],
            "leader": self.leader(),
        }
        name = by_role.get(target, target)
        if name not in (*self.instances, *self.controllers):
            known = ", ".join([*self.instances, *self.controllers, *by_role])
            raise NoSuchTarget(f"{target!r} is nobody now; there are {known}")
        return name

    def kill(self, target: str) -> None:
        """SIGKILL of the pod's process; the kubelet starts it again in place."""
        self._kubelet.signal(self.resolve(target), signal.SIGKILL)

    def stop(self, target: str) -> None:
        """SIGSTOP: it hangs, its connections stay."""
        self._kubelet.signal(self.resolve(target), signal.SIGSTOP)

    def cont(self, target: str) -> None:
        """SIGCONT after a stop."""
        self._kubelet.signal(self.resolve(target), signal.SIGCONT)

    async def delete(self, target: str) -> None:
        """Graceful deletion of the pod: SIGTERM, then a new pod of the same name."""
        await self._delete(target, grace_s=None)

    async def force_delete(self, target: str) -> None:
        """Deletion with grace 0: SIGKILL at once, then a new pod of the same name."""
        await self._delete(target, grace_s=0)

    async def _delete(self, target: str, grace_s: int | None) -> None:
        name = self.resolve(target)
        pod = self._get(PODS, name)
        if pod is None:
            raise NoSuchTarget(f"pod {name} is not there now")
        uid = pod["metadata"]["uid"]
        api = InProcess(self._store)
        await api.delete(PODS, objects.NAMESPACE, name, uid=uid, grace_s=grace_s)
        if name in self.controllers:
            await self._recreate(api, name)

    async def _recreate(self, api: InProcess, name: str) -> None:
        """Controller pods are bare: we are their Deployment."""
        while self._get(PODS, name) is not None:  # noqa: ASYNC110 - looks at the world
            await trio.sleep(LOOK_S)
        number = self.controllers.index(name)
        await api.create(PODS, objects.NAMESPACE, self._controller_pod(number))

    def _controller_pod(self, number: int) -> Object:
        own = self.block.directory / f"kubeconfig-{number}"
        return objects.controller_pod(number, own, self.options.env)

    async def start_controllers(self) -> None:
        """Create the controller pods."""
        api = InProcess(self._store)
        for number in range(self.options.controllers):
            await api.create(PODS, objects.NAMESPACE, self._controller_pod(number))

    async def partition(self, target: str, peer: str = "") -> None:
        """Cut an instance off from everybody, or from one peer instance; a controller pod from the
        API server. Silence both ways; nothing is refused."""
        name = self.resolve(target)
        if name in self.controllers:
            self._faults.set_mode(ApiMode.PARTITIONED, name)
            return
        await self._links.cut(name, self.resolve(peer) if peer else "")

    async def heal(self, target: str) -> None:
        """End the partitions of an instance or a controller pod."""
        name = self.resolve(target)
        if name in self.controllers:
            self._faults.set_mode(ApiMode.OPEN, name)
        else:
            await self._links.heal(name)

    def api_down(self, target: str = "") -> None:
        """The API server is gone, for everybody or for one controller pod."""
        self._faults.set_mode(ApiMode.DOWN, self.resolve(target) if target else "")

    def api_up(self, target: str = "") -> None:
        """It is back."""
        self._faults.set_mode(ApiMode.OPEN, self.resolve(target) if target else "")

    def memory_kib(self) -> dict[str, int]:
        """Resident memory of each controller pod's process."""
        found = {}
        for name in self.controllers:
            try:
                status = Path(f"/proc/{self.pid(name)}/status").read_text()
            except (NotRunning, OSError):
                continue
            line = next(x for x in status.splitlines() if x.startswith("VmRSS"))
            found[name] = int(line.split()[1])
        return found
