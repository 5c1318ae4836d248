"""A network of its own for each instance, as pods have: for databases that bind every address.

Promise: each instance has a network namespace with one address, reached from here and from the
other instances over a switch that is a namespace, too. The namespaces are held by open files of
this process alone, so that nothing of them outlives it, whatever ends it. A cut is silence: nothing
is refused, nothing is lost that TCP sends again.

What a newcomer gets wrong: this needs the right to make networks: be root, or start everything with
`unshare --user --map-root-user --net`, which gives a network to whoever asks.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

FIRST_ADDRESS = (198 << 24) + (18 << 16)  # 198.18.0.0/15 is for measuring devices, nobody's network
SUBNET_SIZE = 64  # addresses for one sandbox; 2048 of these fit
FIRST_HOST = 10
MAC_PREFIX = "02:c6:12"  # locally administered
NOWHERE = f"{MAC_PREFIX}:ff:ff:ff"  # frames to it reach nobody
ATTACH = "master"  # what ip(8) calls the switch of a port
READY_S = 5.0
LOOK_S = 0.002
HINT = "be root, or start it with: unshare --user --map-root-user --net memgraph-controller ..."


class NoPodNetwork(OSError):
    """Networks cannot be made here; the message tells what would help."""


class PodNetwork:
    """The instances' network. Made by `open_pod_network`; all methods are for its one owner."""

    def __init__(self, number: int, directory: Path) -> None:
        self._number = number
        self._directory = directory
        self._interface = f"mgc{number}"
        self._instances: list[str] = []
        self._files: dict[str, int] = {}

    def __call__(self, instance: str) -> str:
        """Address of an instance; raises ValueError for others."""
        return _dotted(self._address(self._instances.index(instance)))

    def enter(self, instance: str) -> list[str]:
        """The words before a command that runs it in an instance's network; the name may hold a
        variable that whoever starts it replaces."""
        return ["nsenter", f"--net={self._directory / instance}"]

    async def cut(self, instance: str, peer: str = "") -> None:
        """No packet reaches it or leaves it, or those from and to one peer."""
        if peer:
            await self._know(instance, peer, NOWHERE)
            await self._know(peer, instance, NOWHERE)
        else:
            await self._in_switch("ip", "link", "set", self._port(instance), "nomaster")

    async def heal(self, instance: str) -> None:
        """It reaches everybody again, and everybody it."""
        await self._in_switch("ip", "link", "set", self._port(instance), ATTACH, "switch")
        for other in self._instances:
            if other != instance:
                await self._know(instance, other, self._mac(other))
                await self._know(other, instance, self._mac(instance))

    # -- making

    async def make(self, instances: Sequence[str]) -> None:
        """Switch, our own link to it, and every instance's. Raises NoPodNetwork."""
        self._directory.mkdir()
        self._instances = list(instances)
        await _run("ip", "link", "set", "lo", "up")  # it is down in a network that is new itself
        await self._new_namespace("switch")
        await self._in_switch("ip", "link", "add", "switch", "type", "bridge")
        await self._in_switch("ip", "link", "set", "switch", "up")
        await self._link_ourselves()
        for instance in instances:
            await self._new_namespace(instance)
            await self._link(instance)
        for instance in instances:
            await self.heal(instance)
            words = ("lladdr", self._mac(instance), "nud", "permanent", "dev", self._interface)
            await _run("ip", "neigh", "replace", self(instance), *words)

    async def _link_ourselves(self) -> None:
        own, switch = self._interface, f"{self._directory / 'switch'}"
        with suppress(NoPodNetwork):  # of one that was killed a moment ago
            await _run("ip", "link", "delete", own)
        address = f"{_dotted(self._address(1 - FIRST_HOST))}/26"
        await _run(
            "ip", "link", "add", own, "type", "veth", "peer", "name", "host", "netns", switch
        )
        await self._in_switch("ip", "link", "set", "host", ATTACH, "switch", "up")
        await _run("ip", "address", "add", address, "dev", own)
        await _run("ip", "link", "set", own, "up")

    async def _link(self, instance: str) -> None:
        port, space = self._port(instance), str(self._directory / instance)
        end = ("peer", "name", "eth0", "address", self._mac(instance), "netns", space)
        await self._in_switch("ip", "link", "add", port, "type", "veth", *end)
        await self._in_switch("ip", "link", "set", port, "up")
        inside = self.enter(instance)
        await _run(*inside, "ip", "link", "set", "lo", "up")
        await _run(*inside, "ip", "address", "add", f"{self(instance)}/26", "dev", "eth0")
        await _run(*inside, "ip", "link", "set", "eth0", "up")

    async def _new_namespace(self, name: str) -> None:
        """A namespace, held by a file of ours that a link in our directory leads to."""
        holder = await _holder()
        try:
            self._files[name] = await _opened_namespace(holder)
        finally:
            holder.kill()
            with trio.CancelScope(shield=True):
                await holder.wait()
        link = self._directory / name
        link.symlink_to(f"/proc/{os.getpid()}/fd/{self._files[name]}")

    async def close(self) -> None:
        """Nothing of it is left."""
        with suppress(NoPodNetwork):
            await _run("ip", "link", "delete", self._interface)
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    # -- inside

    async def _in_switch(self, *words: str) -> None:
        await _run(*self.enter("switch"), *words)

    async def _know(self, instance: str, peer: str, mac: str) -> None:
        """The instance sends what is for its peer to this hardware address."""
        words = ("lladdr", mac, "nud", "permanent", "dev", "eth0")
        await _run(*self.enter(instance), "ip", "neigh", "replace", self(peer), *words)

    def _address(self, ordinal: int) -> int:
        return FIRST_ADDRESS + self._number * SUBNET_SIZE + FIRST_HOST + ordinal

    def _port(self, instance: str) -> str:
        return f"p{self._instances.index(instance)}"

    def _mac(self, instance: str) -> str:
        low = self._address(self._instances.index(instance)) & 0xFFFFFF
        return f"{MAC_PREFIX}:{low >> 16:02x}:{low >> 8 & 255:02x}:{low & 255:02x}"


@asynccontextmanager
async def open_pod_network(
    number: int, directory: Path, instances: Sequence[str]
) -> AsyncIterator[PodNetwork]:
    """Networks for these instances.

    Args:
        number: 0..2047, another one for each sandbox of this machine.
        directory: does not exist yet; links to the namespaces are in it.

    Raises NoPodNetwork.
    """
    network = PodNetwork(number, directory)
    try:
        await network.make(instances)
        yield network
    finally:
        with trio.CancelScope(shield=True):
            await network.close()


async def _holder() -> trio.Process:
    """A process that has or will have a namespace of its own, and waits."""
    try:
        return await trio.lowlevel.open_process(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise NoPodNetwork("unshare is not installed; it makes networks") from error


async def _opened_namespace(holder: trio.Process) -> int:
    """The file of the namespace that a fresh process is about to be in."""
    path = f"/proc/{holder.pid}/ns/net"
    ours = os.readlink("/proc/self/ns/net")
    with trio.fail_after(READY_S):
        while holder.poll() is None:
            with suppress(OSError):
                if os.readlink(path) != ours:
                    return os.open(path, os.O_RDONLY)
            await trio.sleep(LOOK_S)
    raise NoPodNetwork(f"no network of its own can be made; {HINT}")


async def _run(*words: str) -> None:
    try:
        done = await trio.run_process(words, capture_stdout=True, capture_stderr=True, check=False)
    except FileNotFoundError as error:
        raise NoPodNetwork(f"{words[0]} is not installed; it makes networks") from error
    if done.returncode:
        told = done.stderr.decode().strip()
        raise NoPodNetwork(f"{' '.join(words)}: {told or done.returncode}; {HINT}")


def _dotted(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))
