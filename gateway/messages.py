"""What the controller and a relay worker say to each other, and how it is written.

One packet of a SOCK_SEQPACKET pair is one message: JSON with a version, the message's name and
exactly its fields. Promise: `decode` returns a message of the table or raises `Malformed`,
whatever it is given: no field is taken unchecked, nothing is looked up by a name from outside.

What a newcomer gets wrong: times in here are CLOCK_MONOTONIC, which all processes of a machine
share. Whoever has another clock converts (`gateway.workers`), and errs on the early side.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from gateway.counters import Counters
from gateway.errors import Malformed
from gateway.histogram import Distribution
from gateway.route import ClientTls, Kind, Limits, ProxyProtocol, Route, Upstream, UpstreamTls

VERSION = 1
PACKET_BYTES_MAX = 60_000  # below the kernel's limit for one packet of a socket pair
NAME_CHARS_MAX = 253
PATH_CHARS_MAX = 4096
SENTENCE_CHARS_MAX = 2000
UPSTREAMS_MAX = 100


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
class StopAccepting:
    """To the worker: `Gateway.stop_accepting`."""

    kind: Kind


@attrs.frozen
class Marked:
    """From the worker: every session that routes before that mark forbid has ended."""

    number: int


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
    """From the worker: a client was refused, or its session is over."""

    kind: Kind
    peer: str
    instance: str
    reason: str
    bytes_up: int
    bytes_down: int
    duration_s: float


@attrs.frozen
class Trouble:
    """From the worker: something that people should read."""

    text: str


Message = (
    Open
    | Follow
    | Serve
    | Confirm
    | Mark
    | StopAccepting
    | Marked
    | Need
    | Counted
    | Over
    | Trouble
)


def encode(message: Message) -> bytes:
    """One packet."""
    name = type(message).__name__
    fields = attrs.asdict(message, value_serializer=_plain)
    return json.dumps({"v": VERSION, "is": name, **fields}, separators=(",", ":")).encode()


def _plain(_: Any, __: Any, value: Any) -> Any:
    if isinstance(value, Kind | ProxyProtocol):
        return value.value
    if isinstance(value, float) and math.isinf(value):
        return 1e18 if value > 0 else -1e18  # JSON has no infinity
    return dict(value) if isinstance(value, Mapping) else value


def decode(packet: bytes) -> Message:
    """The message.

    Raises:
      Malformed: it is none; end the one who sent it.
    """
    if len(packet) > PACKET_BYTES_MAX:
        raise Malformed(f"a packet of {len(packet)} bytes")
    try:
        document = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Malformed("no object")
    version = document.pop("v", None)
    if type(version) is not int or version != VERSION:
        raise Malformed("another version")
    parse = _PARSERS.get(name) if isinstance(name := document.pop("is", None), str) else None
    if parse is None:
        raise Malformed(f"no such message: {name!r:.40}")
    fields = _Fields(document)
    try:
        message = parse(fields)
    except ValueError as error:  # of the values' own validators
        raise Malformed(str(error)) from error
    fields.end()
    return message


class _Fields:
    """A JSON object of which every field is taken exactly once, with its type."""

    def __init__(self, document: Any) -> None:
        if not isinstance(document, dict):
            raise Malformed("wants an object")
        self._left = document

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise Malformed(f"{name} is missing")
        return self._left.pop(name)

    def end(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise Malformed(f"unknown: {sorted(self._left)!r:.100}")

    def text(self, name: str, most: int = NAME_CHARS_MAX) -> str:
        value = self._take(name)
        if not isinstance(value, str) or len(value) > most:
            raise Malformed(f"{name} is no text of at most {most}")
        return value

    def path(self, name: str) -> str:
        return self.text(name, PATH_CHARS_MAX)

    def whole(self, name: str, least: int = 0) -> int:
        value = self._take(name)
        if type(value) is not int or not least <= value < 1 << 63:
            raise Malformed(f"{name} is no number from {least} on")
        return value

    def number(self, name: str) -> float:
        value = self._take(name)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise Malformed(f"{name} is no number")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._take(name)
        if not isinstance(value, bool):
            raise Malformed(f"{name} is neither true nor false")
        return value

    def kind(self) -> Kind:
        return Kind(self.text("kind"))

    def optional(self, name: str, take: Callable[[str], Any]) -> Any:
        if name in self._left and self._left[name] is None:
            return self._left.pop(name)
        return take(name)

    def inner(self, name: str) -> "_Fields":
        return _Fields(self._take(name))

    def several(self, name: str, most: int) -> list[Any]:
        value = self._take(name)
        if not isinstance(value, list) or len(value) > most:
            raise Malformed(f"{name} is no list of at most {most}")
        return value

    def counts(self, name: str) -> dict[str, int]:
        fields = self.inner(name)
        return {key: fields.whole(key) for key in list(fields._left)}


def _route(f: _Fields) -> Route:
    route = Route(
        term=f.whole("term"),
        upstreams=tuple(_upstream(_Fields(u)) for u in f.several("upstreams", UPSTREAMS_MAX)),
        reason=f.text("reason", SENTENCE_CHARS_MAX),
        is_held=f.flag("is_held"),
        drain_until_s=f.optional("drain_until_s", f.number),
    )
    f.end()
    return route


def _upstream(f: _Fields) -> Upstream:
    upstream = Upstream(
        instance=f.text("instance"),
        incarnation=f.whole("incarnation"),
        host=f.text("host"),
        port=f.whole("port", 1),
        weight=f.number("weight"),
    )
    f.end()
    return upstream


def _limits(f: _Fields) -> Limits:
    limits = Limits(
        connections_max=f.whole("connections_max"),
        hold_s=f.number("hold_s"),
        hold_max=f.whole("hold_max"),
        connect_timeout_s=f.number("connect_timeout_s"),
        greeting_s=f.number("greeting_s"),
        idle_timeout_s=f.optional("idle_timeout_s", f.number),
        session_bytes_max=f.optional("session_bytes_max", f.whole),
        rate_per_s=f.optional("rate_per_s", f.number),
        rate_burst=f.whole("rate_burst"),
        proxy_protocol=ProxyProtocol(f.text("proxy_protocol")),
        client_tls=f.optional("client_tls", lambda name: _client_tls(f.inner(name))),
        upstream_tls=f.optional("upstream_tls", lambda name: _upstream_tls(f.inner(name))),
    )
    f.end()
    return limits


def _client_tls(f: _Fields) -> ClientTls:
    tls = ClientTls(f.path("cert_path"), f.path("key_path"), f.path("client_ca_path"))
    f.end()
    return tls


def _upstream_tls(f: _Fields) -> UpstreamTls:
    tls = UpstreamTls(f.flag("is_verified"), f.path("ca_path"), f.text("domain"))
    f.end()
    return tls


def _distribution(f: _Fields) -> Distribution:
    bounds = tuple(_as_number(value) for value in f.several("bounds", 100))
    counts = tuple(_as_count(value) for value in f.several("counts", 101))
    found = Distribution(bounds, counts, f.number("total"))
    f.end()
    if len(counts) != len(bounds) + 1:
        raise Malformed("a histogram has one count more than bounds")
    return found


def _as_number(value: Any) -> float:
    return _Fields({"value": value}).number("value")


def _as_count(value: Any) -> int:
    return _Fields({"value": value}).whole("value")


def _counters(f: _Fields) -> Counters:
    counters = Counters(
        accepted=f.whole("accepted"),
        active=f.whole("active"),
        held=f.whole("held"),
        refused=f.counts("refused"),
        ended=f.counts("ended"),
        cut=f.whole("cut"),
        dial_failures=f.whole("dial_failures"),
        bytes_up=f.whole("bytes_up"),
        bytes_down=f.whole("bytes_down"),
        sessions=f.counts("sessions"),
        term=f.optional("term", f.whole),
        durations_s=_distribution(f.inner("durations_s")),
        waits_s=_distribution(f.inner("waits_s")),
    )
    f.end()
    return counters


def _over(f: _Fields) -> Over:
    return Over(
        kind=f.kind(),
        peer=f.text("peer"),
        instance=f.text("instance"),
        reason=f.text("reason"),
        bytes_up=f.whole("bytes_up"),
        bytes_down=f.whole("bytes_down"),
        duration_s=f.number("duration_s"),
    )


_PARSERS: dict[str, Callable[[_Fields], Message]] = {
    "Open": lambda f: Open(f.kind(), f.whole("listener"), _limits(f.inner("limits"))),
    "Follow": lambda f: Follow(f.kind(), _route(f.inner("route"))),
    "Serve": lambda f: Serve(f.kind(), f.number("until_s")),
    "Confirm": lambda f: Confirm(
        f.kind(), f.text("instance"), f.whole("incarnation"), f.number("asked_at_s")
    ),
    "Mark": lambda f: Mark(f.whole("number")),
    "StopAccepting": lambda f: StopAccepting(f.kind()),
    "Marked": lambda f: Marked(f.whole("number")),
    "Need": lambda f: Need(f.kind(), f.text("instance"), f.whole("incarnation")),
    "Counted": lambda f: Counted(f.kind(), _counters(f.inner("counters"))),
    "Over": _over,
    "Trouble": lambda f: Trouble(f.text("text", SENTENCE_CHARS_MAX)),
}
