"""The cluster's DNS: answers for names of Services and of pods behind them, by UDP.

Promise: an answer is what the directory says at that moment (time to live 0); other names do not
exist here. Only A records are known; AAAA is answered as "none".
"""

from __future__ import annotations

import socket
import struct

import trio

from .directory import Directory

PORT = 53
DATAGRAM_BYTES_MAX = 512
HEADER = struct.Struct(">HHHHHH")
ANSWER_FLAGS, NO_SUCH_NAME = 0x8580, 3  # an authoritative answer; the code NXDOMAIN
A, IN, TIME_TO_LIVE_S = 1, 1, 0
ADDRESSES_MAX = 25  # that fit into one datagram


async def serve_names(
    directory: Directory,
    address: str,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled. Raises OSError: the address cannot be had."""
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        await door.bind((address, PORT))
        task_status.started()
        while True:
            question, sender = await door.recvfrom(DATAGRAM_BYTES_MAX)
            reply = answer(question, directory)
            if reply:
                await door.sendto(reply, sender)


def answer(question: bytes, directory: Directory) -> bytes:
    """The reply to one datagram, empty for what is no question."""
    try:
        number, _, count, *_ = HEADER.unpack_from(question)
        name, end = _name_at(question, HEADER.size)
        kind, _ = struct.unpack_from(">HH", question, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return b""
    if count != 1:
        return b""
    found = directory.resolve(name)
    addresses = (found or [])[:ADDRESSES_MAX] if kind == A else []
    flags = ANSWER_FLAGS | (NO_SUCH_NAME if found is None else 0)
    head = HEADER.pack(number, flags, 1, len(addresses), 0, 0)
    asked = question[HEADER.size : end + 4]
    return head + asked + b"".join(_record(a) for a in addresses)


def _record(address: str) -> bytes:
    pointer = 0xC000 | HEADER.size  # the name that was asked for
    return struct.pack(">HHHIH", pointer, A, IN, TIME_TO_LIVE_S, 4) + socket.inet_aton(address)


def _name_at(data: bytes, at: int) -> tuple[str, int]:
    """The name at an offset, and the offset behind it. Raises IndexError, UnicodeDecodeError."""
    words = []
    while length := data[at]:
        words.append(data[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(words), at + 1
