"""One incarnation of one pod, from its binding to its last process.

Promise: a worker starts nothing before the former incarnation of the same name has ended, and
when `ended` is set no process of it is left, whatever happened: deletion, force, or cancellation.
A container that ends by itself is noticed at once and started again after a pause, in the same
incarnation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import trio

from ..apiserver import PODS, ApiError, Object, name_of, namespace_of, rfc3339, uid_of
from . import containers, probes, status
from .containers import BadSpec, Container, Running, Terminated, Waiting
from .ports import ClusterApi, is_passing

END_PATIENCE_S = 2.0  # SIGTERM to SIGKILL when the kubelet itself is cancelled
RETRY_S = 0.2  # after an API that refuses
FAILURE_THRESHOLD = 3  # Kubernetes' own default
START_ERROR = 128  # the exit code of what could not be started


@attrs.frozen
class Settings:
    """What all pods of a kubelet share.

    Args:
        root: Directory for `volumes/` (data by namespace and pod name) and `logs/`.
        address_of: Gives the address of a pod by its name; stable over incarnations.
        env: What every container's environment begins with.
        restart_delay_s: Pause before an ended container is started again.
        setup_delay_s: Pause before a new pod has an address and starts its first container: a
            real node makes its network and mounts its volumes in that time.
        probe_period_s: Time between readiness probes, whatever the pod says: people wait here.
    """

    root: Path
    address_of: Callable[[str], str]
    env: Mapping[str, str]
    restart_delay_s: float = 1.0
    setup_delay_s: float = 1.0
    probe_period_s: float = 0.5
    node_name: str = "sandbox-node"
    wall_clock: Callable[[], float] = time.time

    def data_of(self, pod: Object) -> Path:
        """Return the directory that outlives the pod."""
        return self.root / "volumes" / namespace_of(pod) / name_of(pod)

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
                await containers.end(self._processes(), self._patience)
                nursery.cancel_scope.cancel()
            if not self._gone:
                await self._confirm_deletion()
        finally:
            with trio.CancelScope(shield=True):
                deadline_s = trio.current_time() + END_PATIENCE_S
                await containers.end(self._processes(), trio.CancelScope(deadline=deadline_s))
            self.ended.set()

    def _processes(self) -> list[trio.Process]:
        boxes = [*self._init_boxes, *self.boxes]
        return [box.process for box in boxes if box.process is not None]

    async def _live(self) -> None:
        with self._life:
            if self._former is not None:
                await self._former.ended.wait()
                self._former = None
            await self._bind()
            await trio.sleep(self._settings.setup_delay_s)
            self._touch()
            try:
                for box in [*self._init_boxes, *self.boxes]:
                    self._check(box)
                await self._run_all()
            except BadSpec as error:
                for box in self.boxes:
                    box.state = Waiting("CreateContainerConfigError", str(error))
            self._touch()
        self._lived.set()

    async def _run_hooks(self) -> None:
        """The preStop hooks of the running containers; they go on running meanwhile."""
        running = [box for box in self.boxes if box.process is not None]
        hooks = [(box, command) for box in running if (command := containers.prestop_of(box.spec))]
        with self._hooks:
            async with trio.open_nursery() as nursery:
                for box, command in hooks:
                    nursery.start_soon(self._run_hook, box, command)

    async def _run_hook(self, box: Container, command: list[str]) -> None:
        env = self._env(box)
        words = [containers.expanded(word, env) for word in command]
        log = self._settings.log_of(self.pod, f"{box.name}.prestop")
        try:
            process = await containers.start(words, env, self._settings.data_of(self.pod), log)
        except OSError:
            return  # as a real one: an event for people, and the pod stops
        await containers.wait_or_kill(process)

    async def _bind(self) -> None:
        if self.pod["spec"].get("nodeName"):
            return
        node = self._settings.node_name
        try:
            await self._api.bind(namespace_of(self.pod), name_of(self.pod), node)
        except ApiError as error:
            if not is_passing(error):
                raise

    def _check(self, box: Container) -> None:
        """Return if the container can be run here. Raises BadSpec."""
        probes.check_probe(box.spec)
        containers.command_of(box.spec, self._env(box))

    def _env(self, box: Container) -> dict[str, str]:
        data = self._settings.data_of(self.pod)
        own = containers.environment(self.pod, box.spec, self.address, data)
        return {**self._settings.env, **own}

    async def _run_all(self) -> None:
        policy = self.pod["spec"].get("restartPolicy", "Always")
        for box in self._init_boxes:
            retry = "OnFailure" if policy == "Always" else policy
            await self._keep_running(box, retry)
            if self._failed(box):
                self._is_over = True
                return
        self._initialized = True
        self._touch()
        async with trio.open_nursery() as nursery:
            for box in self.boxes:
                nursery.start_soon(self._keep_running, box, policy)
        self._is_over = True

    def _failed(self, box: Container) -> bool:
        return isinstance(box.state, Terminated) and box.state.exit_code != 0

    async def _keep_running(self, box: Container, policy: str) -> None:
        """Run the container again and again, as its policy wants."""
        while True:
            box.state = ended = await self._run_once(box)
            box.ready = False
            self._touch()
            if policy == "Never" or (policy == "OnFailure" and ended.exit_code == 0):
                return
            pause_s = self._settings.restart_delay_s
            box.last = ended
            box.state = Waiting("CrashLoopBackOff", f"started again after {pause_s} s")
            self._touch()
            await trio.sleep(pause_s)
            box.restart_count += 1

    async def _run_once(self, box: Container) -> Terminated:
        """Start the container and return how it ended."""
        started_at, env = self._now(), self._env(box)
        try:
            box.process = await containers.start(
                containers.command_of(box.spec, env),
                env,
                self._settings.data_of(self.pod),
                self._settings.log_of(self.pod, box.name),
            )
        except OSError as error:
            return Terminated(START_ERROR, started_at, self._now(), f"StartError: {error}")
        box.state = Running(started_at, box.process.pid)
        self._touch()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._probe, box)
            code = await box.process.wait()
            nursery.cancel_scope.cancel()
        box.process = None
        return Terminated(containers.exit_code_of(code), started_at, self._now())

    async def _probe(self, box: Container) -> None:
        """Keep `ready` true to the container's readiness probe."""
        probe, failures = box.spec.get("readinessProbe"), 0
        if probe is None:
            self._set_ready(box, True)
            return
        threshold = int(probe.get("failureThreshold", FAILURE_THRESHOLD))
        while True:
            if await probes.succeeds(box.spec, self.address):
                failures = 0
                self._set_ready(box, True)
            else:
                failures += 1
                if failures >= threshold:
                    self._set_ready(box, False)
            await trio.sleep(self._settings.probe_period_s)

    def _set_ready(self, box: Container, ready: bool) -> None:
        if box.ready is not ready:
            box.ready = ready
            self._touch()

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
