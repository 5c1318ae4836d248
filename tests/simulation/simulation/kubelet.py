"""Kubelet and StatefulSet for the instances: pods with UIDs and IPs, containers that are restarted.

Promise: the API server hears of a death some time after it, a container comes back on the same disk
in the same pod, a deleted pod comes back under a new UID and IP. The init container acts on a reset
token only if that is greater than the one its data directory remembers. What a newcomer gets wrong:
the API server's word is about the past; a process runs or not whatever it says.
"""

from collections.abc import Callable
from random import Random

import trio
from attrs import define

from controller.kube.names import COMPONENT_LABEL, INSTANCE_LABEL, KubeNames
from controller.kube.transport import Json

from .api import Api
from .memgraph import Instances, Memgraph

GRACE_S = 45.0  # PRESTOP_TIMEOUT; 600 s in the product, where nobody waits in a simulation


@define(eq=False)
class Pod:
    """One incarnation of an instance's pod."""

    instance: Memgraph
    uid: str
    number: int
    restarts: int = 0
    state: str = "waiting"
    is_deleting: bool = False
    is_gone: bool = False
    stops_at_s: float = float("inf")  # end of the grace, once it is being deleted


class Kubelet:
    """Owned by the world. `may_stop(name)`: what the preStop hook hears, None = nobody answers."""

    def __init__(
        self,
        api: Api,
        names: KubeNames,
        instances: Instances,
        dice: Random,
        spawn: Callable[..., None],
    ) -> None:
        self._api, self._names, self._instances = api, names, instances
        self._dice, self._spawn = dice, spawn
        self.pods: dict[str, Pod] = {}
        self.may_stop: Callable[[str], bool] = lambda name: True
        self.is_api_up: Callable[[], bool] = lambda: True
        self.is_guarded: Callable[[str], bool] = lambda name: True
        self.on_wipe: Callable[[Memgraph], None] = lambda instance: None
        self.stuck: set[str] = set()  # nodes that are lost: nothing is reported, nothing starts
        self._numbers = 0
        api.on_delete_pod = self.delete

    # -- what faults and the API server ask for

    def create(self, instance: Memgraph) -> None:
        """A new pod of the StatefulSet, scheduled at once."""
        self._numbers += 1
        pod = Pod(instance, f"pod-{self._numbers}", self._numbers)
        self.pods[instance.name] = pod
        self._instances.hosts.pop(instance.ip, None)
        instance.ip = ""
        self._report(pod)
        self._spawn(self._start_pod, pod)

    def crash(self, name: str, down_s: float) -> None:
        """SIGKILL of the process; the kubelet starts it again."""
        pod = self.pods[name]
        if not pod.instance.is_up or pod.is_gone:
            return
        pod.instance.stop()
        self._spawn(self._restart, pod, down_s)

    def delete(self, name: str, grace_s: float | None = None) -> None:
        """Gracefully: deletionTimestamp, the preStop hook, SIGTERM; then the next pod. Asked for
        again with a shorter grace, the shorter one holds."""
        pod = self.pods.get(name)
        if pod is None or pod.is_gone:
            return
        end_s = trio.current_time() + (GRACE_S if grace_s is None else grace_s)
        pod.stops_at_s = min(pod.stops_at_s, end_s)
        if pod.is_deleting:
            return
        pod.is_deleting = True
        self._report(pod)
        self._spawn(self._terminate, pod)

    def force_delete(self, name: str, lingering_s: float) -> None:
        """The object is gone at once; the process lives on for a while."""
        pod = self.pods[name]
        if pod.is_gone:
            return
        pod.is_gone = True
        self._api.remove(self._path(name))
        self._spawn(self._replace, pod, lingering_s)

    def lose_node(self, name: str) -> None:
        """Process and reports end; nobody restarts anything there."""
        self.stuck.add(name)
        self.pods[name].instance.stop()

    def find_node(self, name: str) -> None:
        """The node is back: its kubelet starts what is not running."""
        self.stuck.discard(name)
        pod = self.pods[name]
        if not pod.is_gone and not pod.instance.is_up:
            if pod.instance.ip:
                self._spawn(self._restart, pod, 0.5)
            else:
                self._spawn(self._start_pod, pod)

    # -- lives

    async def _start_pod(self, pod: Pod) -> None:
        await trio.sleep(0.2 + 0.6 * self._dice.random())
        if pod.is_gone or pod.instance.name in self.stuck:
            return
        self._run_init(pod.instance)
        pod.instance.ip = f"10.0.{pod.number // 250}.{pod.number % 250 + 1}"
        self._instances.hosts[pod.instance.ip] = pod.instance
        await self._start_process(pod)

    def _run_init(self, instance: Memgraph) -> None:
        reset = self._api.objects.get(f"{self._names.config_maps_path}/{self._names.reset}")
        token = int((reset or {}).get("data", {}).get(instance.name, "0"))
        if token > instance.disk.reset_token:
            self.on_wipe(instance)
            instance.lose_disk()
            instance.disk.reset_token = token

    async def _start_process(self, pod: Pod) -> None:
        await trio.sleep(0.05 + 0.25 * self._dice.random())
        if pod.is_gone or pod.instance.name in self.stuck or pod.instance.is_up:
            return
        pod.instance.start(guarded=self.is_guarded(pod.instance.name))
        self._instances.note(f"{pod.instance.name} started as {pod.instance.role.value}")
        pod.state = "running"
        await self._report_later(pod)

    async def _restart(self, pod: Pod, down_s: float) -> None:
        seen_s = min(down_s, 0.05 + self._dice.random())
        await trio.sleep(seen_s)
        if pod.is_gone or pod.instance.name in self.stuck or pod.instance.is_up:
            return  # a node that came back meanwhile has started it
        pod.state = "terminated"
        await self._report_later(pod)
        await trio.sleep(down_s - seen_s)
        if pod.instance.is_up:
            return
        pod.restarts += 1
        if not pod.is_deleting:
            await self._start_process(pod)

    async def _terminate(self, pod: Pod) -> None:
        while trio.current_time() < pod.stops_at_s:
            if not pod.instance.is_up or self.may_stop(pod.instance.name):
                break
            await trio.sleep(0.5)
        await self._replace(pod, 0.0, gracefully=True)

    async def _replace(self, pod: Pod, lingering_s: float, *, gracefully: bool = False) -> None:
        await trio.sleep(lingering_s)
        while pod.instance.name in self.stuck and not pod.is_gone:
            await trio.sleep(1.0)
        if pod.is_gone and gracefully:
            return  # forced meanwhile: that task replaces it
        pod.instance.stop(gracefully=gracefully and not pod.instance.is_hung)
        while not self.is_api_up():
            await trio.sleep(0.5)
        pod.is_gone = True
        self._api.remove(self._path(pod.instance.name))
        await trio.sleep(0.1 + 0.5 * self._dice.random())
        while not self.is_api_up():
            await trio.sleep(0.5)
        self.create(pod.instance)

    # -- what the API server hears

    async def _report_later(self, pod: Pod) -> None:
        await trio.sleep(0.02 + 0.1 * self._dice.random())
        while not self.is_api_up():
            await trio.sleep(0.5)
        if not pod.is_gone and pod.instance.name not in self.stuck:
            self._report(pod)

    def _path(self, name: str) -> str:
        return f"{self._names.pods_path}/{name}"

    def _report(self, pod: Pod) -> None:
        self._api.put(self._path(pod.instance.name), _pod_object(self._names, pod))


def _pod_object(names: KubeNames, pod: Pod) -> Json:
    is_ready = pod.state == "running"
    meta: Json = {
        "name": pod.instance.name,
        "uid": pod.uid,
        "labels": {INSTANCE_LABEL: names.release},
    }
    if pod.is_deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status = {"name": "memgraph", "restartCount": pod.restarts, "state": {pod.state: {}}}
    return {
        "metadata": meta,
        "spec": {"nodeName": f"node-{pod.instance.name}"},
        "status": {
            "podIP": pod.instance.ip,
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
            "containerStatuses": [status],
        },
    }


def controller_pod_object(names: KubeNames, pod_name: str, uid: str) -> Json:
    """What the API server says of a controller pod."""
    labels = {INSTANCE_LABEL: names.release, COMPONENT_LABEL: "controller"}
    return {
        "metadata": {"name": pod_name, "uid": uid, "labels": labels},
        "spec": {"nodeName": f"node-{pod_name}"},
        "status": {"podIP": "10.1.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }
