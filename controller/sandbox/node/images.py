"""What stands for an image: programs of this machine.

Promise: the controller's image is the real program out of the checkout that this process runs from,
or out of another one that was named for its tag; Memgraph's is our imitation, in the version that
the tag says. Nothing else is known, and a pod that asks for more waits, with the reason.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

import controller

from ..kubelet.containers import BadSpec

CHECKOUT = Path(controller.__file__).parents[1]
MEMGRAPH_PROGRAM = "/usr/lib/memgraph/memgraph"
MEMGRAPH_VOLUME = "/var/lib/memgraph"
CONTROL_SOCKET = f"{MEMGRAPH_VOLUME}/control.sock"  # of the stand-in; see its `control`
_VERSION = re.compile(r"\d+(\.\d+){1,2}")

# exec keeps the process id: signals to the container reach the stand-in itself.
_SHIM = """#!/bin/sh
[ -w {volume} ] && set -- "$@" --stand-in-control={socket}
exec {python} -m controller.sandbox.memgraph "$@" {version}
"""


@frozen
class Image:
    """A program: its words, what it has in its environment, and files by path in its root."""

    entrypoint: tuple[str, ...]
    env: Mapping[str, str] = field(factory=dict)
    files: Mapping[str, str] = field(factory=dict)


@frozen
class Images:
    """The table.

    Args:
        checkouts: Other checkouts of the controller, by image tag.
    """

    checkouts: Mapping[str, Path] = field(factory=dict)

    def find(self, reference: str) -> Image:
        """The image of this reference. Raises BadSpec."""
        repository, _, tag = reference.rpartition(":")
        name = (repository or tag).rpartition("/")[2]
        checkout = self.checkouts.get(tag, CHECKOUT)
        env = {"PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        if name == "memgraph-controller":
            return Image((sys.executable, "-m", "controller.cli"), env)
        if name in ("memgraph", "memgraph-mage"):
            version = f"--stand-in-version={tag}" if _VERSION.fullmatch(tag) else ""
            shim = _SHIM.format(
                volume=MEMGRAPH_VOLUME,
                socket=CONTROL_SOCKET,
                python=sys.executable,
                version=version,
            )
            env["PYTHONPATH"] = str(CHECKOUT)
            return Image((MEMGRAPH_PROGRAM,), env, {MEMGRAPH_PROGRAM: shim})
        raise BadSpec(f"nothing here stands for the image {reference}")

    def directories(self) -> list[Path]:
        """What programs need to see of this machine besides its root file system."""
        own = [Path(sys.base_prefix), Path(sys.prefix), CHECKOUT, *self.checkouts.values()]
        return sorted({path.resolve() for path in own} | {Path(sys.prefix)})
