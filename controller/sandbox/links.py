"""The links of the instances: how they are cut and healed, for either sort of database.

Promise: a cut instance answers nobody and refuses nobody; healed, it goes on where it was.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import trio

from controller.sandbox.objects import CONTROL_SOCKET

STAND_IN_ANSWER_S = 2.0  # its control socket answers even while it hangs


class LinkRefused(Exception):
    """The stand-in did not take the order; the message is its own."""


class Links(Protocol):
    """What `PodNetwork` offers for real databases and `StandInLinks` for stand-ins."""

    async def cut(self, instance: str, peer: str = "") -> None:
        """Silence between it and everybody, or between it and one peer."""

    async def heal(self, instance: str) -> None:
        """Every cut of this instance has ended."""


class StandInLinks:
    """Stand-ins cut themselves off when they are told.

    Args:
        volumes: where the pods' volumes are, by name.
        address_of: an instance's address by its name.
    """

    def __init__(self, volumes: Path, address_of: Callable[[str], str]) -> None:
        self._volumes = volumes
        self._address_of = address_of

    async def cut(self, instance: str, peer: str = "") -> None:
        """See `Links`. Raises LinkRefused; OSError and trio.TooSlowError when it is not there."""
        peers = {"peers": [self._address_of(peer)]} if peer else {}
        await self._tell(instance, {"do": "partition", **peers})

    async def heal(self, instance: str) -> None:
        """See `Links`; raises as `cut`."""
        await self._tell(instance, {"do": "heal"})

    async def _tell(self, instance: str, ask: Mapping[str, object]) -> None:
        with trio.fail_after(STAND_IN_ANSWER_S):
            stream = await trio.open_unix_socket(str(self._volumes / instance / CONTROL_SOCKET))
            async with stream:
                await stream.send_all(json.dumps(ask).encode() + b"\n")
                answer = json.loads(await stream.receive_some())
        if not answer.get("ok"):
            raise LinkRefused(f"{instance} refuses {ask}: {answer.get('error')}")
