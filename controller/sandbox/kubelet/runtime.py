"""How a container becomes a process: the seam between a pod's life and what surrounds it.

Promise: a pod's worker knows neither images nor mounts nor networks; it asks its runtime. The plain
runtime here has none of them: a container is a child in its pod's data directory. A runtime with
volumes and networks is in the room `node`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import trio

from ..apiserver import Object, name_of, namespace_of
from . import containers
from .containers import BadSpec


class NotYet(Exception):
    """Something that the pod asks for is not there, and may still come; the message names it."""


class Runtime(Protocol):
    """Surroundings of pods. All methods are called by the workers of one kubelet."""

    def entrypoint(self, image: str) -> list[str]:
        """The words of an image when its container names no command. Raises BadSpec."""

    def data_of(self, pod: Object) -> Path:
        """A directory that outlives the pod."""

    async def set_up(self, pod: Object, address: str) -> None:
        """Network and volumes of the pod are there. Raises NotYet."""

    async def start(
        self, pod: Object, spec: Object, words: Sequence[str], env: Mapping[str, str], log: Path
    ) -> trio.Process:
        """A container's main process; its output goes to the end of `log`. Raises OSError."""

    async def execute(
        self,
        pod: Object,
        main: trio.Process,
        words: Sequence[str],
        env: Mapping[str, str],
        log: Path,
    ) -> trio.Process:
        """One more process in the container of a main process. Raises OSError."""

    def swept(self, main: trio.Process) -> None:
        """Whatever else ran in the container of a main process that has ended gets SIGKILL."""

    async def tear_down(self, pod: Object) -> None:
        """Nothing of the pod is left but its data. May be called for a pod never set up."""


class PlainRuntime:
    """Children of this process, in the pod's data directory: no image, no mount, no isolation.

    Args:
        root: data are in `volumes/` of it, by namespace and pod name.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def entrypoint(self, image: str) -> list[str]:
        """See `Runtime`."""
        raise BadSpec("no command, and no image to take one from")

    def data_of(self, pod: Object) -> Path:
        """See `Runtime`."""
        return self._root / "volumes" / namespace_of(pod) / name_of(pod)

    async def set_up(self, pod: Object, address: str) -> None:
        """See `Runtime`."""

    async def start(
        self, pod: Object, spec: Object, words: Sequence[str], env: Mapping[str, str], log: Path
    ) -> trio.Process:
        """See `Runtime`."""
        return await containers.start(list(words), env, self.data_of(pod), log)

    async def execute(
        self,
        pod: Object,
        main: trio.Process,
        words: Sequence[str],
        env: Mapping[str, str],
        log: Path,
    ) -> trio.Process:
        """See `Runtime`."""
        return await containers.start(list(words), env, self.data_of(pod), log)

    def swept(self, main: trio.Process) -> None:
        """See `Runtime`."""

    async def tear_down(self, pod: Object) -> None:
        """See `Runtime`."""
