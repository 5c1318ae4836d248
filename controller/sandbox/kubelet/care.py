"""One container of one pod: started, probed, and started again as its policy wants.

Promise: a container that ends by itself is noticed at once; `ready` and `started` are true to its
probes; one whose liveness or startup probe fails is ended as a kubelet does it, hook and grace
included, and then started again. What it asks for that is not there keeps it waiting, with the
reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import trio

from ..apiserver import Object, rfc3339
from . import containers, probes, sources
from .containers import BadSpec, Container, Running, Terminated, Waiting
from .ports import ClusterApi
from .runtime import NotYet, Runtime

TERMINATION_LOG = "TERMINATION_LOG"  # variable with a path: there is no /dev of a container here
START_ERROR = 128  # the exit code of what could not be started
GRACE_S = 30.0  # Kubernetes' own default


@attrs.frozen
class CarePolicy:
    """What all containers of a kubelet share; see `run_kubelet` for the fields."""

    env: Mapping[str, str]
    restart_delay_s: float
    probe_period_s: float | None
    wall_clock: Callable[[], float] = time.time

    def period_of(self, probe: Object) -> float:
        """Seconds between two probes."""
        if self.probe_period_s is not None:
            return self.probe_period_s
        return float(probe.get("periodSeconds", probes.PERIOD_S))

    def now(self) -> str:
        """Wall time, for people."""
        return rfc3339(self.wall_clock())


class Care:
    """Owned by the worker of the pod.

    Args:
        touch: called after every change that a status shows.
        log_of: the file for the output of a container of this name.
    """

    def __init__(
        self,
        pod: Object,
        box: Container,
        address: str,
        policy: CarePolicy,
        runtime: Runtime,
        api: ClusterApi,
        touch: Callable[[], None],
        log_of: Callable[[str], Path],
    ) -> None:
        self.box = box
        self._pod, self._address = pod, address
        self._policy, self._runtime, self._api = policy, runtime, api
        self._touch, self._log_of = touch, log_of

    def check(self) -> None:
        """Return if the container can be run here. Raises BadSpec."""
        probes.check_probes(self.box.spec)
        containers.command_of(self.box.spec, {}, self._runtime.entrypoint)
        try:
            self._environment(None)
        except NotYet:
            return  # it may come; whoever starts it looks again

    def _environment(self, found: sources.Found | None) -> dict[str, str]:
        data = self._runtime.data_of(self._pod)
        own = sources.environment(self._pod, self.box.spec, self._address, data, found)
        return {**self._policy.env, TERMINATION_LOG: str(self._last_words()), **own}

    def _last_words(self) -> Path:
        """The file that stands for /dev/termination-log."""
        return self._log_of(self.box.name).with_suffix(".termination")

    async def keep_running(self, policy: str) -> None:
        """Run the container again and again, as its restart policy wants."""
        box, pause_s = self.box, self._policy.restart_delay_s
        while True:
            box.state = ended = await self._run_once()
            box.ready = box.started = False
            self._touch()
            if policy == "Never" or (policy == "OnFailure" and ended.exit_code == 0):
                return
            box.last = ended
            box.state = Waiting("CrashLoopBackOff", f"started again after {pause_s} s")
            self._touch()
            await trio.sleep(pause_s)
            box.restart_count += 1

    async def _run_once(self) -> Terminated:
        """Start the container and return how it ended."""
        env = await self._wait_environment()
        words = containers.command_of(self.box.spec, env, self._runtime.entrypoint)
        started_at = self._policy.now()
        self._last_words().unlink(missing_ok=True)
        try:
            log = self._log_of(self.box.name)
            main = await self._runtime.start(self._pod, self.box.spec, words, env, log)
        except OSError as error:
            return Terminated(START_ERROR, started_at, self._policy.now(), f"StartError: {error}")
        self.box.process = main
        self.box.state = Running(started_at, main.pid)
        self._touch()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._probe, env)
            code = await main.wait()
            nursery.cancel_scope.cancel()
        self._runtime.swept(main)
        self.box.process = None
        said = containers.last_words(self._last_words())
        return Terminated(containers.exit_code_of(code), started_at, self._policy.now(), said)

    async def _wait_environment(self) -> dict[str, str]:
        while True:
            try:
                found = await sources.read_references(self._api, self._pod, self.box.spec)
                return self._environment(found)
            except NotYet as error:
                self.box.state = Waiting("CreateContainerConfigError", str(error))
                self._touch()
                await trio.sleep(self._policy.restart_delay_s)

    # -- probes

    async def _probe(self, env: Mapping[str, str]) -> None:
        """Keep `started` and `ready` true; end the container when it is found dead."""
        spec = self.box.spec
        if "startupProbe" in spec and not await self._becomes_true("startupProbe", env):
            await self.end(env)
            return
        self.box.started = True
        self._touch()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_readiness, env)
            if "livenessProbe" in spec:
                await self._becomes_false("livenessProbe", env)
                await self.end(env)

    async def _becomes_true(self, kind: str, env: Mapping[str, str]) -> bool:
        """Whether the probe succeeds before it has failed too often."""
        probe = self.box.spec[kind]
        failures_max = int(probe.get("failureThreshold", probes.FAILURE_THRESHOLD))
        await trio.sleep(float(probe.get("initialDelaySeconds", 0)))
        for _ in range(failures_max):
            if await self._succeeds(kind, env):
                return True
            await trio.sleep(self._policy.period_of(probe))
        return False

    async def _becomes_false(self, kind: str, env: Mapping[str, str]) -> None:
        """Block until the probe has failed too often in a row."""
        probe, failures = self.box.spec[kind], 0
        failures_max = int(probe.get("failureThreshold", probes.FAILURE_THRESHOLD))
        await trio.sleep(float(probe.get("initialDelaySeconds", 0)))
        while failures < failures_max:
            failures = 0 if await self._succeeds(kind, env) else failures + 1
            await trio.sleep(self._policy.period_of(probe))

    async def _follow_readiness(self, env: Mapping[str, str]) -> None:
        probe = self.box.spec.get("readinessProbe")
        if probe is None:
            self._set_ready(True)
            return
        await trio.sleep(float(probe.get("initialDelaySeconds", 0)))
        failures_max = int(probe.get("failureThreshold", probes.FAILURE_THRESHOLD))
        successes_min = int(probe.get("successThreshold", probes.SUCCESS_THRESHOLD))
        row = {True: 0, False: 0}
        while True:
            outcome = await self._succeeds("readinessProbe", env)
            row = {outcome: row[outcome] + 1, not outcome: 0}
            if row[True] >= successes_min:
                self._set_ready(True)
            if row[False] >= failures_max:
                self._set_ready(False)
            await trio.sleep(self._policy.period_of(probe))

    def _set_ready(self, ready: bool) -> None:
        if self.box.ready is not ready:
            self.box.ready = ready
            self._touch()

    async def _succeeds(self, kind: str, env: Mapping[str, str]) -> bool:
        async def execute(words: list[str]) -> int:
            return await self._execute(words, env, kind)

        return await probes.succeeds(kind, self.box.spec, self._address, execute)

    async def _execute(self, words: list[str], env: Mapping[str, str], what: str) -> int:
        """Exit code of a command in the running container; 128 when it cannot be started."""
        main = self.box.process
        if main is None:
            return START_ERROR
        words = [containers.expanded(word, env) for word in words]
        log = self._log_of(f"{self.box.name}.{what}")
        try:
            process = await self._runtime.execute(self._pod, main, words, env, log)
        except OSError:
            return START_ERROR
        await containers.wait_or_kill(process)
        return process.returncode or 0

    # -- ending

    async def run_hook(self, env: Mapping[str, str] | None = None) -> None:
        """The preStop hook has ended, however it ended; the container goes on meanwhile."""
        command = containers.prestop_of(self.box.spec)
        if self.box.process is None or not command:
            return
        if env is None:
            try:
                found = await sources.read_references(self._api, self._pod, self.box.spec)
                env = self._environment(found)
            except (NotYet, BadSpec):
                return  # as a real one: an event for people, and the pod stops
        await self._execute(command, env, "prestop")

    async def end(self, env: Mapping[str, str]) -> None:
        """Hook, SIGTERM and, at the end of the grace, SIGKILL. Whoever waits for the process sees
        it end."""
        main = self.box.process
        if main is None:
            return
        grace_s = float(self._pod["spec"].get("terminationGracePeriodSeconds", GRACE_S))
        with trio.move_on_after(grace_s):
            await self.run_hook(env)
            main.terminate()
            await main.wait()
        main.kill()
