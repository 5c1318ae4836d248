"""What the controller and a relay worker say to each other, and how it is written.

One packet of a SOCK_SEQPACKET pair is one message: JSON with a version, the message's name and
exactly its fields. Promise: `decoding.decode` returns a message of the table or raises `Malformed`,
whatever it is given: no field is taken unchecked, nothing is looked up by a name from outside.

What a newcomer gets wrong: times in here are CLOCK_MONOTONIC, which all processes of a machine
share. Whoever has another clock converts (`gateway.workers`), and errs on the early side.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import attrs

from gateway.counters import Counters
from gateway.route import Kind, Limits, ProxyProtocol, Route

VERSION = 1
PACKET_BYTES_MAX = 60_000  # below the kernel's limit for one packet of a socket pair
SENTENCE_CHARS_MAX = 2000
_ENCODER = json.JSONEncoder(separators=(",", ":"))  # json.dumps makes one for each call


@attrs.frozen
class Open:
    """To the worker, first of all: serve clients of this listener (a descriptor it inherited)."""

    kind: Kind
    listener: int
    limits: Limits


@attrs.frozen
class Follow:
    """To the worker: `Gateway.apply`."""

    kind: Kind
    route: Route


@attrs.frozen
class Serve:
    """To the worker: `Gateway.serve_until`."""

    kind: Kind
    until_s: float


@attrs.frozen
class Confirm:
    """To the worker: `Gateway.confirm`."""

    kind: Kind
    instance: str
    incarnation: int
    asked_at_s: float


@attrs.frozen
class Mark:
    """To the worker: say `Marked` when everything before this has been done, cuts included."""

    number: int


@attrs.frozen
class Marked:
    """From the worker: every session that routes before that mark forbid has ended."""

    number: int


@attrs.frozen
class Leave:
    """To the worker, last of all: `Gateway.leave`; it ends when it serves nobody any more."""

    until_s: float


@attrs.frozen
class Need:
    """From the worker: sessions to this upstream wait for the verifier."""

    kind: Kind
    instance: str
    incarnation: int


@attrs.frozen
class Counted:
    """From the worker, several times a second: it lives, and these are its numbers."""

    kind: Kind
    counters: Counters


@attrs.frozen
class Over:
    """From the worker: a client was refused, or its session is over. `upstream` is its address;
    it, the instance and the term are empty where none was reached."""

    kind: Kind
    peer: str
    instance: str
    upstream: str
    term: int
    reason: str
    bytes_up: int
    bytes_down: int
    duration_s: float


@attrs.frozen
class Trouble:
    """From the worker: something that people should read."""

    text: str


ToWorker = Open | Follow | Serve | Confirm | Mark | Leave
FromWorker = Marked | Need | Counted | Over | Trouble
Message = ToWorker | FromWorker


def encode(message: Message) -> bytes:
    """One packet."""
    name = type(message).__name__
    fields = attrs.asdict(message, value_serializer=_plain)
    return _ENCODER.encode({"v": VERSION, "is": name, **fields}).encode()


def _plain(_: Any, __: Any, value: Any) -> Any:
    if isinstance(value, Kind | ProxyProtocol):
        return value.value
    if isinstance(value, float) and math.isinf(value):
        return 1e18 if value > 0 else -1e18  # JSON has no infinity
    return dict(value) if isinstance(value, Mapping) else value
