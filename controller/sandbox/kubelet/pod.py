"""One incarnation of one pod, from its binding to its last process.

Promise: a worker starts nothing before the former incarnation of the same name has ended, and
when `ended` is set no process of it is left, whatever happened: deletion, force, or cancellation.
A container that ends by itself is noticed at once and started again after a pause, in the same
incarnation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import attrs
import trio

from ..apiserver import PODS, ApiError, Object, name_of, namespace_of, rfc3339, uid_of
from . import containers, status
from .care import Care, CarePolicy
from .containers import BadSpec, Container, Terminated, Waiting
from .ports import ClusterApi, is_passing
from .runtime import NotYet, PlainRuntime, Runtime

END_PATIENCE_S = 2.0  # SIGTERM to SIGKILL when the kubelet itself is cancelled
RETRY_S = 0.2  # after an API that refuses


@attrs.frozen
class Settings:
    """What all pods of a kubelet share.

    Args:
        root: Directory for `logs/` and, without a runtime of its own, `volumes/`.
        address_of: Gives the address of a pod by its name; stable over incarnations.
        env: What every container's environment begins with.
        restart_delay_s: Pause before an ended container is started again.
        setup_delay_s: Pause before a new pod has an address and starts its first container: a
            real node makes its network and mounts its volumes in that time.
        probe_period_s: Time between probes, whatever the pod says: people wait here. None: as the
            pod says.
        node_names: The nodes that this process is.
        runtime: What surrounds containers; None: nothing.
        choose_node: Gives the node for a pod, "" while none takes it; None: the first.
    """

    root: Path
    address_of: Callable[[str], str]
    env: Mapping[str, str]
    restart_delay_s: float = 1.0
    setup_delay_s: float = 1.0
    probe_period_s: float | None = 0.5
    node_names: tuple[str, ...] = ("sandbox-node",)
    wall_clock: Callable[[], float] = time.time
    runtime: Runtime | None = None
    choose_node: Callable[[Object], str] | None = None

    @property
    def care_policy(self) -> CarePolicy:
        """What containers need to know of all this."""
        return CarePolicy(self.env, self.restart_delay_s, self.probe_period_s, self.wall_clock)

    async def wait_node(self, pod: Object) -> str:
        """The node for a pod; blocks while none takes it."""
        if self.choose_node is None:
            return self.node_names[0]
        while not (node := self.choose_node(pod)):  # noqa: ASYNC110 - looks at the world
            await trio.sleep(RETRY_S)
        return node

    def log_of(self, pod: Object, container: str) -> Path:
        """Return the file with the container's output."""
        return self.root / "logs" / f"{name_of(pod)}.{container}.log"


class PodWorker:
    """Runs the containers of one pod incarnation. Told what to do by plain calls."""

    def __init__(
        self, pod: Object, api: ClusterApi, settings: Settings, former: PodWorker | None
    ) -> None:
        self.pod = pod
        self.ended = trio.Event()
        self.address = settings.address_of(name_of(pod))
        self.boxes = [Container(spec) for spec in pod["spec"]["containers"]]
        self._init_boxes = [Container(spec) for spec in pod["spec"].get("initContainers") or []]
        self._api = api
        self._settings = settings
        self._runtime = settings.runtime or PlainRuntime(settings.root)
        self._cares = [self._care_of(box) for box in self.boxes]
        self._init_cares = [self._care_of(box) for box in self._init_boxes]
        self._former = former
        self._started_at = self._now()
        self._initialized = not self._init_boxes
        self._is_over = False
        self._gone = False
        self._conditions: tuple[Object, ...] = ()
        self._dirty = trio.Event()
        self._told_to_end = trio.Event()
        self._life = trio.CancelScope()
        self._lived = trio.Event()
        self._patience, self._hooks = trio.CancelScope(), trio.CancelScope()

    def _care_of(self, box: Container) -> Care:
        policy, log_of = self._settings.care_policy, partial(self._settings.log_of, self.pod)
        return Care(
            self.pod, box, self.address, policy, self._runtime, self._api, self._touch, log_of
        )

    # --- told from outside ---------------------------------------------------------------

    def end_within(self, grace_s: float) -> None:
        """Begin to end; what is said again can only make it sooner."""
        deadline_s = trio.current_time() + grace_s
        for scope in (self._hooks, self._patience):  # hooks are part of the grace
            scope.deadline = min(scope.deadline, deadline_s)
        self._told_to_end.set()

    def removed(self) -> None:
        """The pod is gone from the API: kill what is left, report nothing."""
        self._gone = True
        self._hooks.cancel()
        self._patience.cancel()
        self._told_to_end.set()

    # --- running -------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until told to end, then end.

        Cancellation: every process is ended within 2 s before this returns.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._publish)
                nursery.start_soon(self._live)
                await self._told_to_end.wait()
                await self._run_hooks()
                self._life.cancel()
                await self._lived.wait()
                if self._former is not None:  # ended before it could begin
                    await self._former.ended.wait()
                await self._end_processes(self._patience)
                await self._runtime.tear_down(self.pod)
                nursery.cancel_scope.cancel()
            if not self._gone:
                await self._confirm_deletion()
        finally:
            with trio.CancelScope(shield=True):
                deadline_s = trio.current_time() + END_PATIENCE_S
                await self._end_processes(trio.CancelScope(deadline=deadline_s))
                await self._runtime.tear_down(self.pod)
            self.ended.set()

    async def _end_processes(self, patience: trio.CancelScope) -> None:
        processes = self._processes()
        await containers.end(processes, patience)
        for process in processes:
            self._runtime.swept(process)

    def _processes(self) -> list[trio.Process]:
        boxes = [*self._init_boxes, *self.boxes]
        return [box.process for box in boxes if box.process is not None]

    async def _live(self) -> None:
        with self._life:
            if self._former is not None:
                await self._former.ended.wait()
                self._former = None
            await self._bind()
            try:
                await self._set_up()
                self._touch()
                for care in [*self._init_cares, *self._cares]:
                    care.check()
                await self._run_all()
            except BadSpec as error:
                for box in self.boxes:
                    box.state = Waiting("CreateContainerConfigError", str(error))
            self._touch()
        self._lived.set()

    async def _run_hooks(self) -> None:
        """The preStop hooks of the running containers; they go on running meanwhile."""
        with self._hooks:
            async with trio.open_nursery() as nursery:
                for care in self._cares:
                    nursery.start_soon(care.run_hook)

    async def _set_up(self) -> None:
        """Network and volumes are there; what is missing is waited for, with the reason."""
        await trio.sleep(self._settings.setup_delay_s)
        while True:
            try:
                await self._runtime.set_up(self.pod, self.address)
                return
            except NotYet as error:
                for box in self.boxes:
                    box.state = Waiting("ContainerCreating", str(error))
                self._touch()
                await trio.sleep(RETRY_S)

    async def _bind(self) -> None:
        if self.pod["spec"].get("nodeName"):
            return
        node = await self._settings.wait_node(self.pod)
        try:
            await self._api.bind(namespace_of(self.pod), name_of(self.pod), node)
        except ApiError as error:
            if not is_passing(error):
                raise

    async def _run_all(self) -> None:
        policy = self.pod["spec"].get("restartPolicy", "Always")
        for care in self._init_cares:
            await care.keep_running("OnFailure" if policy == "Always" else policy)
            if self._failed(care.box):
                self._is_over = True
                return
        self._initialized = True
        self._touch()
        async with trio.open_nursery() as nursery:
            for care in self._cares:
                nursery.start_soon(care.keep_running, policy)
        self._is_over = True

    def _failed(self, box: Container) -> bool:
        return isinstance(box.state, Terminated) and box.state.exit_code != 0

    # --- telling -------------------------------------------------------------------------

    def _now(self) -> str:
        return rfc3339(self._settings.wall_clock())

    def _touch(self) -> None:
        self._dirty.set()

    async def _publish(self) -> None:
        """Keep the pod's status true to what is known here."""
        while True:
            await self._dirty.wait()
            self._dirty = trio.Event()
            written = status.compose(self._seen())
            self._conditions = tuple(written["conditions"])
            try:
                await self._api.write_status(PODS, self.pod, written)
            except ApiError as error:
                if not is_passing(error):
                    await trio.sleep(RETRY_S)
                    self._touch()

    def _seen(self) -> status.Seen:
        return status.Seen(
            address=self.address,
            started_at=self._started_at,
            now=self._now(),
            initialized=self._initialized,
            is_over=self._is_over,
            containers=tuple(self.boxes),
            init_containers=tuple(self._init_boxes),
            previous=self._conditions,
        )

    async def _confirm_deletion(self) -> None:
        """Tell the API that nothing of this incarnation runs any more."""
        while not self._gone:
            try:
                await self._api.delete(
                    PODS,
                    namespace_of(self.pod),
                    name_of(self.pod),
                    uid=uid_of(self.pod),
                    grace_s=0,
                )
                return
            except ApiError as error:
                if is_passing(error):
                    return
                await trio.sleep(RETRY_S)
