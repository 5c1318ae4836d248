"""Stable loopback addresses for pods, by name.

Promise: the same pod name has the same address for as long as the allocator lives; pods of the
same set lie next to each other, in the order of their ordinals.
"""

from __future__ import annotations

import re

BLOCK_SIZE = 20  # members of one set
FIRST_HOST = 10
HOSTS_MAX = 250
_ORDINAL = re.compile(r"^(?P<stem>.*?)-(?P<ordinal>\d+)$")


class LoopbackAddresses:
    """An `address_of` for `run_kubelet`.

    Args:
        network: The first three numbers, such as "127.40.7", of this sandbox alone.
    """

    def __init__(self, network: str) -> None:
        if not re.fullmatch(r"127(\.\d{1,3}){2}", network):
            raise ValueError(f"not the first three numbers of a loopback address: {network!r}")
        self._network = network
        self._blocks: dict[str, int] = {}

    def __call__(self, pod_name: str) -> str:
        """Return the address of this pod.

        Raises:
            OverflowError: More sets, or more members of a set, than fit.
        """
        found = _ORDINAL.match(pod_name)
        stem = found["stem"] if found else pod_name
        ordinal = int(found["ordinal"]) if found else 0
        block = self._blocks.setdefault(stem, len(self._blocks))
        host = FIRST_HOST + block * BLOCK_SIZE + ordinal
        if ordinal >= BLOCK_SIZE or host > HOSTS_MAX:
            raise OverflowError(f"no address is left for {pod_name} in {self._network}.0/24")
        return f"{self._network}.{host}"
