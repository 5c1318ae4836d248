"""What faults are done with: a running sandbox, its API server as a person would use it, the
stand-ins' control sockets, and a seeded die.

Promise: everything that is done is told with its time; what cannot be done at that moment is told
too and is no failure of anybody.
"""

import json
import random
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define

from controller.sandbox import objects
from controller.sandbox.apiserver import ApiError
from controller.sandbox.kubelet import NotRunning
from controller.sandbox.links import LinkRefused
from controller.sandbox.world import NoSuchTarget, Sandbox
from torture.watching import LedgerBook

REQUEST_S = 10.0
CONTROL_S = 3.0
REPLACED_S = 120.0  # a pod with its hook; a process alone is back in a second
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{objects.NAMESPACE}/leases"
EVERY_CONTROLLER = "127.0.0.1"  # the address that controllers' own connections come from
CANNOT = (NoSuchTarget, NotRunning, LinkRefused, ApiError, OSError, trio.TooSlowError, ValueError)


@define(eq=False)
class World:
    """One sandbox under torture."""

    sandbox: Sandbox
    ledger: LedgerBook
    dice: random.Random
    tell: Callable[[str], None]

    @property
    def is_stand_in(self) -> bool:
        """Whether Memgraph is imitated, so that it can be told to misbehave."""
        return not self.sandbox.options.memgraph

    def instance(self, role: str) -> str:
        """A pod's name for main, sync, async or any instance. Raises NoSuchTarget."""
        named = {self.sandbox.noted("main"), *self.sandbox.noted("sync").split(",")} - {""}
        others = [i for i in self.sandbox.instances if i not in named]
        if role == "any":
            return self.dice.choice(self.sandbox.instances)
        if role == "async":
            if not others:
                raise NoSuchTarget("nobody is async now")
            return self.dice.choice(others)
        return self.sandbox.resolve(role)

    def controller(self, role: str) -> str:
        """A controller pod's name for leader or standby. Raises NoSuchTarget."""
        leader = self.sandbox.resolve("leader")
        others = [c for c in self.sandbox.controllers if c != leader]
        return leader if role == "leader" else self.dice.choice(others)

    async def wait_about(self, low_s: float, high_s: float) -> None:
        """Some time between the two."""
        await trio.sleep(self.dice.uniform(low_s, high_s))

    def process(self, pod: str) -> int:
        """Process of a pod; 0 while there is none."""
        try:
            return self.sandbox.pid(pod)
        except NotRunning:
            return 0

    async def until_replaced(self, pod: str, fault: Callable[[], Any]) -> None:
        """Do it, and return when another process of the pod runs: what follows from the fault has
        begun then. Raises what `fault` raises, trio.TooSlowError."""
        before = self.process(pod)
        done = fault()
        if done is not None:
            await done
        with trio.fail_after(REPLACED_S):
            while self.process(pod) in (0, before):
                await trio.sleep(0.05)

    # -- the API server, as a person uses it

    async def api(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A request. Raises OSError, of which a refusal (HTTPError) is one."""
        ask = partial(_request, self.sandbox.api_url + path, method, body)
        return await trio.to_thread.run_sync(ask, abandon_on_cancel=True)

    async def leases(self) -> list[str]:
        """Names of all Leases. Raises OSError."""
        found = await self.api("GET", LEASES)
        return [str(item["metadata"]["name"]) for item in found["items"]]

    async def command(self, *words: str) -> str:
        """The real command line with the sandbox's kubeconfig; how it ended."""
        given = ["-m", "controller.cli", *words, f"--kubeconfig={self.sandbox.kubeconfig}"]
        done = await trio.run_process(
            [sys.executable, *given], capture_stdout=True, capture_stderr=True, check=False
        )
        told = (done.stdout if done.returncode == 0 else done.stderr).decode().strip()
        return f"{words[0]} ends with {done.returncode}: {' '.join(told.splitlines()[-1:])[:160]}"

    async def make_slow(self, seconds: float) -> None:
        """Every answer of the API server comes so much later."""
        await self.api("POST", "/sandbox/faults", {"kind": "latency", "seconds": seconds})

    async def make_well(self) -> None:
        """No fault of the API server is on."""
        await self.api("POST", "/sandbox/faults", {"kind": "clear"})

    # -- the instances

    async def order(self, instance: str, ask: Mapping[str, object]) -> None:
        """An order to a stand-in. Raises LinkRefused, OSError, trio.TooSlowError."""
        path = self.volume(instance) / objects.CONTROL_SOCKET
        with trio.fail_after(CONTROL_S):
            async with await trio.open_unix_socket(str(path)) as stream:
                await stream.send_all(json.dumps(ask).encode() + b"\n")
                answer = json.loads(await stream.receive_some())
        if not answer.get("ok"):
            raise LinkRefused(f"{instance} refuses {ask}: {answer.get('error')}")

    def volume(self, instance: str) -> Path:
        """Where the kubelet stand-in keeps the volume of a pod."""
        return self.sandbox.block.directory / "node" / "volumes" / objects.NAMESPACE / instance

    def lose_disk(self, instance: str) -> None:
        """The instance dies, and its volume is a new one. Raises NotRunning."""
        self.sandbox.kill(instance)
        volume = self.volume(instance)
        gone = volume.with_name(f"{instance}.lost-{self.dice.randrange(10**9)}")
        volume.rename(gone)
        volume.mkdir()
        shutil.rmtree(gone, ignore_errors=True)

    # -- the end

    async def heal(self) -> None:
        """Nothing of any fault is left: all run, all links are whole, the API server is well."""
        await self.make_well()
        for pod in (*self.sandbox.controllers, *self.sandbox.instances):
            try:
                self.sandbox.cont(pod)
                await self.sandbox.heal(pod)
                if self.is_stand_in and pod in self.sandbox.instances:
                    await self.order(pod, {"do": "slow", "ms": 0})
            except CANNOT:
                continue  # it is not there: then it comes back whole


def _request(url: str, method: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"{method} {url}: {error.code}") from error
