"""Bytes that no client sends: the conversation ends, nothing else does; memory stays bounded."""

import tempfile
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from bolt_in_memory import BROKEN, FAILURE, SUCCESS, instance_at, wire_to
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.sandbox.memgraph.bolt.framing import (
    MAGIC,
    STRANGER_BYTES_MAX,
    MessageReader,
    chunked,
)
from controller.sandbox.memgraph.bolt.packstream import VALUES_MAX, Structure, pack, unpack
from controller.sandbox.memgraph.cypher import parser
from controller.sandbox.memgraph.failures import ProtocolBroken
from controller.sandbox.memgraph.instance import Instance


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    async with instance_at(tmp_path) as it:
        yield it


class Bytes:
    """A source that gives its bytes in pieces."""

    def __init__(self, data: bytes, piece_bytes: int) -> None:
        self._data, self._piece_bytes = data, piece_bytes

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        piece, self._data = self._data[: self._piece_bytes], self._data[self._piece_bytes :]
        return piece


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=9)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.builds(Structure, st.integers(0, 255), st.lists(inner, max_size=4).map(tuple))
    ),
    max_leaves=12,
)
TAGS = (0x01, 0x0E, 0x0F, 0x10, 0x11, 0x12, 0x13, 0x2F, 0x3F, 0x54, 0x66, 0x6A, 0x6B)
MESSAGES = st.builds(
    lambda tag, fields: chunked(pack(Structure(tag, tuple(fields)))),
    st.sampled_from(TAGS) | st.integers(0, 255),
    st.lists(VALUES, max_size=4),
)


@given(st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_any_bytes_unpack_or_are_refused(data: bytes) -> None:
    """`unpack` gives a value or raises `ProtocolBroken`, and what it gives can be packed again."""
    try:
        value = unpack(data)
    except ProtocolBroken:
        return
    assert unpack(pack(value)) == value or value != value


@given(st.lists(MESSAGES, max_size=8), st.binary(max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_conversation_is_answered_or_ended(messages: list[bytes], tail: bytes) -> None:
    """Well-formed messages with any values in any order, then any bytes: each is answered or the
    conversation ends with the one FAILURE; the instance goes on and no transaction stays open."""
    trio.run(_converse, b"".join(messages) + tail)


async def _converse(data: bytes) -> None:
    async with instance_for_examples() as instance:
        async with wire_to(instance) as wire:
            await wire.send_bytes(data)
            await wire.end()
            while (answer := await wire.receive()) is not None:
                assert answer.tag in (0x70, 0x71, 0x7E, 0x7F)
        assert instance.storage.graph.open_count == 0
        assert instance.activity.rows() == []
        async with wire_to(instance) as wire:
            assert await wire.run("RETURN 1") == [[1]]


@asynccontextmanager
async def instance_for_examples() -> AsyncIterator[Instance]:
    """An instance in a new directory: examples cannot share a fixture's."""
    with tempfile.TemporaryDirectory() as directory:
        async with instance_at(Path(directory)) as instance:
            yield instance


HOSTILE = {
    "a chunk of a message that never ends": b"\x00\x01\xb1" * 200_000,
    "a list longer than the message": chunked(b"\xb1\x10\xd6\xff\xff\xff\xff"),
    "a map longer than the message": chunked(b"\xb1\x10\xda\x7f\xff\xff\xff"),
    "a text longer than the message": chunked(b"\xb1\x10\xd2\xff\xff\xff\xff"),
    "deep lists": chunked(b"\xb1\x10" + b"\x91" * 100_000),
    "deep maps": chunked(b"\xb1\x10" + b"\xa1\x80" * 100_000),
    "deep structures": chunked(b"\xb1\x10" * 100_000),
    "more values than anybody needs": chunked(
        b"\xb3\x10\x81a\xd6" + (4 * VALUES_MAX).to_bytes(4, "big") + b"\x90" * (4 * VALUES_MAX)
    ),
    "a text that is none": chunked(b"\xb3\x10\x82\xff\xfe\xa0\xa0"),
    "no structure": chunked(b"\x01"),
    "bytes behind the message": chunked(b"\xb0\x0f\x00"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_bytes_after_the_greeting(instance: Instance, data: bytes) -> None:
    """MEMGRAPH 5: a protocol error is answered with the one FAILURE and the end; while it is read,
    less than 120 MiB are held, however much the bytes promise."""
    tracemalloc.start()
    try:
        async with wire_to(instance) as wire:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, wire, data)
                answers = [await wire.receive(), await wire.receive()]
            _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if data[:3] == b"\x00\x01\xb1":
        assert answers == [None, None]
    else:
        assert answers == [Structure(FAILURE, (BROKEN,)), None]
    assert peak_bytes < 120 * 1024 * 1024
    async with wire_to(instance) as wire:
        assert await wire.run("RETURN 1") == [[1]]


async def _send(wire: Any, data: bytes) -> None:
    try:
        await wire.send_bytes(data)
        await wire.end()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the server had enough


@pytest.mark.parametrize(
    "opening", [MAGIC + b"\x00\x00\x00\x09" * 4, b"SSH-2.0-OpenSSH_9.2 says hello"]
)
async def test_no_common_language(instance: Instance, opening: bytes) -> None:
    """MEMGRAPH 5: neither another magic nor another version is spoken with."""
    async with wire_to(instance, greet=False) as wire:
        await wire.send_bytes(opening)
        assert await wire.receive() == Structure(FAILURE, (BROKEN,))
        assert await wire.receive() is None


async def test_a_stranger_may_not_say_much(instance: Instance) -> None:
    """Before anybody has logged on a message has a few kilobytes; afterwards a query has more."""
    async with wire_to(instance, greet=False) as wire:
        await wire.propose((5, 2))
        agent = "x" * STRANGER_BYTES_MAX
        assert await wire.call(0x01, {"user_agent": agent}) == (FAILURE, BROKEN)
    async with wire_to(instance) as wire:
        assert (await wire.try_run("RETURN size($x)", x=agent * 8))[0] == SUCCESS
        assert wire.records == [[STRANGER_BYTES_MAX * 8]]


async def test_a_message_in_the_smallest_pieces_costs_little() -> None:
    """A large message in chunks of one byte, one byte at a time, takes its size and not fifty
    times as much."""
    payload = pack("x" * 100_000)
    data = b"".join(b"\x00\x01" + payload[i : i + 1] for i in range(len(payload))) + b"\0\0"
    reader = MessageReader(Bytes(data, 64 * 1024))
    tracemalloc.start()
    try:
        message = await reader.read_message()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message is not None
    assert unpack(message) == "x" * 100_000
    assert peak_bytes < 2 * 1024 * 1024


@pytest.mark.parametrize(
    "query", ["RETURN " + "(" * 3000 + "1" + ")" * 3000, "RETURN " + "[" * 3000]
)
async def test_a_query_nested_too_deeply_is_refused(instance: Instance, query: str) -> None:
    """Deep text is the client's mistake; the conversation goes on."""
    async with wire_to(instance) as wire:
        _, message = await wire.refusal(query)
        assert message == "The query is nested too deeply."
        assert await wire.run("RETURN 1") == [[1]]


async def test_a_query_has_an_end(instance: Instance) -> None:
    """Text that would be taken apart into millions of words is refused before it fills the memory,
    and long texts are not remembered."""
    words = "RETURN [" + "1," * 3_000_000 + "1]"
    async with wire_to(instance) as wire:
        tracemalloc.start()
        try:
            _, message = await wire.refusal(words)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert message == "The stand-in does not take a query that long."
        assert peak_bytes < 120 * 1024 * 1024
        text = "x" * 1_000_000
        before = parser._remembered.cache_info().currsize
        assert await wire.run(f"RETURN size('{text}') AS n") == [[1_000_000]]
        assert parser._remembered.cache_info().currsize == before
