"""PackStream, chunks, the handshake and the frames between stand-ins, without processes."""

import struct

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.memgraph.bolt.framing import (
    CHUNK_BYTES_MAX,
    MessageReader,
    choose_version,
    chunked,
    supported_versions,
)
from controller.sandbox.memgraph.bolt.packstream import DEPTH_MAX, Structure, pack, unpack
from controller.sandbox.memgraph.failures import ProtocolBroken
from controller.sandbox.memgraph.faults import Faults, Link
from controller.sandbox.memgraph.replication.wire import Channel, WireBroken

INTEGERS = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.dictionaries(st.text(), inner, max_size=20)
        | st.builds(Structure, st.integers(0, 127), st.lists(inner, max_size=15).map(tuple))
    ),
    max_leaves=30,
)


@given(VALUES)
def test_packstream_round_trip(value: object) -> None:
    """What is packed comes back equal, and of the same type where Python is lax (1 and True)."""
    back = unpack(pack(value))
    assert back == value
    assert repr(back) == repr(value)


@given(st.binary(max_size=200))
def test_packstream_refuses_any_other_bytes(data: bytes) -> None:
    """Arbitrary bytes are a value or `ProtocolBroken`, nothing else."""
    try:
        unpack(data)
    except ProtocolBroken:
        return


@pytest.mark.parametrize("size", [0, 15, 16, 255, 256, 65_535, 65_536])
def test_packstream_size_borders(size: int) -> None:
    """Every header form carries strings, lists and bytes of its border sizes."""
    for value in ("x" * size, [1] * size, b"x" * size, {str(i): i for i in range(size)}):
        assert unpack(pack(value)) == value


@pytest.mark.parametrize("value", [object(), 2**63, {"k": object()}])
def test_packstream_refuses_to_pack_nonsense(value: object) -> None:
    """A value without a form is a TypeError, never wrong bytes."""
    with pytest.raises(TypeError):
        pack(value)


@pytest.mark.parametrize(
    "data", [b"", b"\x81", b"\xc7", b"\x01\x01", b"\x91" * (DEPTH_MAX + 2), b"\xa1\x01\x01"]
)
def test_packstream_refuses_malformed(data: bytes) -> None:
    """Truncated, unknown, trailing, too deep, non-string key: each is refused."""
    with pytest.raises(ProtocolBroken):
        unpack(data)


def proposals(*items: tuple[int, int, int]) -> bytes:
    return b"".join(struct.pack(">BBBB", 0, *item) for item in items).ljust(16, b"\0")


@pytest.mark.parametrize(
    ("offered", "release", "chosen"),
    [
        ([(0, 1, 255), (8, 8, 5), (2, 4, 4), (0, 0, 3)], (3, 12), (5, 2)),
        ([(8, 8, 5)], (3, 6), (5, 2)),
        ([(2, 4, 4)], (3, 12), (4, 4)),
        ([(2, 4, 4)], (3, 6), (4, 3)),
        ([(0, 2, 5), (0, 4, 4)], (3, 12), (5, 2)),
        ([(0, 3, 4)], (3, 12), (4, 3)),
        ([(0, 1, 4)], (3, 12), (4, 1)),
        ([(0, 2, 4)], (3, 12), None),
        ([(0, 0, 6)], (3, 12), None),
        ([(0, 4, 5), (0, 0, 0), (0, 2, 5)], (3, 12), None),
        ([], (3, 12), None),
    ],
)
def test_versions(
    offered: list[tuple[int, int, int]],
    release: tuple[int, int],
    chosen: tuple[int, int] | None,
) -> None:
    """Transcript 12: the same proposals get the same versions; zeros stop the search."""
    assert choose_version(proposals(*offered), supported_versions(release)) == chosen


class Pieces:
    """A byte source that gives a few bytes at a time, then ends."""

    def __init__(self, data: bytes, size: int = 7) -> None:
        self.data = data
        self.size = size

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        piece, self.data = self.data[: self.size], self.data[self.size :]
        return piece


@pytest.mark.parametrize("size", [1, 10, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 200_000])
async def test_chunks_round_trip(size: int) -> None:
    """A message of any size comes back whole, with NOOP chunks before it, then the end."""
    message = bytes(size)
    reader = MessageReader(Pieces(b"\0\0" + chunked(message) + chunked(b"x"), 4096))
    assert await reader.read_message() == message
    assert await reader.read_message() == b"x"
    assert await reader.read_message() is None


@pytest.mark.parametrize("cut", [1, 2, 5])
async def test_a_cut_message_is_the_end(cut: int) -> None:
    """A peer that leaves within a message is simply gone."""
    assert await MessageReader(Pieces(chunked(b"hello")[:cut])).read_message() is None


async def socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    left, right = trio.socket.socketpair()
    return trio.SocketStream(left), trio.SocketStream(right)


async def test_frames_round_trip_and_breaks() -> None:
    """A frame comes back with its body; an end inside one, or no JSON, is `WireBroken`."""
    near, far = await socket_pair()
    faults = Faults()
    sender = Channel(Link(near, "a", faults))
    receiver = Channel(Link(far, "b", faults))
    with trio.fail_after(5):
        await sender.send({"op": "x"}, b"body")
        assert await receiver.receive() == ({"op": "x"}, b"body")
        await near.send_all(struct.pack(">II", 2, 0) + b"[]")
        with pytest.raises(WireBroken):
            await receiver.receive()
        await near.send_all(struct.pack(">II", 10, 0) + b"{")
        await near.aclose()
        with pytest.raises(WireBroken):
            await receiver.receive()
    receiver.close_now()


async def test_stopped_link_holds_bytes_back_until_moved() -> None:
    """Bytes that arrive during a stop are delivered after it, none is lost."""
    near, far = await socket_pair()
    faults = Faults(silent_peers=frozenset({"10.0.0.1"}))
    link = Link(far, "10.0.0.1", faults)
    await near.send_all(b"held")
    got: list[bytes] = []

    async def receive() -> None:
        got.append(await link.receive_some())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            assert got == []
            faults.silent_peers = frozenset()
            faults.changed()
    assert got == [b"held"]
    link.close_now()
    await near.aclose()


def test_counted_fault_is_used_up() -> None:
    """`take` says yes exactly as often as it was set."""
    faults = Faults(lock_busy=2)
    assert [faults.take("lock_busy") for _ in range(3)] == [True, True, False]
