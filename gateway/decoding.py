"""Reads what `gateway.messages` writes: each field once, each with its type, nothing unchecked."""

import json
import math
from collections.abc import Callable
from typing import Any

from gateway import messages as m
from gateway.counters import Counters
from gateway.errors import Malformed
from gateway.histogram import Distribution
from gateway.route import ClientTls, Kind, Limits, ProxyProtocol, Route, Upstream, UpstreamTls

NAME_CHARS_MAX = 253
PATH_CHARS_MAX = 4096
UPSTREAMS_MAX = 100


def decode(packet: bytes) -> m.Message:
    """The message.

    Raises:
      Malformed: it is none; end the one who sent it.
    """
    if len(packet) > m.PACKET_BYTES_MAX:
        raise Malformed(f"a packet of {len(packet)} bytes")
    try:
        document = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Malformed("no object")
    version = document.pop("v", None)
    if type(version) is not int or version != m.VERSION:
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
        reason=f.text("reason", m.SENTENCE_CHARS_MAX),
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
        may_become_main=f.flag("may_become_main"),
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
        buffer_bytes=f.whole("buffer_bytes"),
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
        dials_s=_distribution(f.inner("dials_s")),
        cut_by_term=_by_term(f, "cut_by_term"),
        failed_dials=f.counts("failed_dials"),
        drained_by_term=_by_term(f, "drained_by_term"),
        bytes_up_by=f.counts("bytes_up_by"),
        bytes_down_by=f.counts("bytes_down_by"),
    )
    f.end()
    return counters


def _by_term(f: _Fields, name: str) -> dict[str, int]:
    found = f.counts(name)
    if not all(term.isascii() and term.isdecimal() and len(term) < 20 for term in found):
        raise Malformed(f"{name} has something else than terms")
    return found


def _over(f: _Fields) -> m.Over:
    return m.Over(
        kind=f.kind(),
        peer=f.text("peer"),
        instance=f.text("instance"),
        upstream=f.text("upstream"),
        term=f.whole("term"),
        reason=f.text("reason"),
        bytes_up=f.whole("bytes_up"),
        bytes_down=f.whole("bytes_down"),
        duration_s=f.number("duration_s"),
    )


_PARSERS: dict[str, Callable[[_Fields], m.Message]] = {
    "Open": lambda f: m.Open(f.kind(), f.whole("listener"), _limits(f.inner("limits"))),
    "Follow": lambda f: m.Follow(f.kind(), _route(f.inner("route"))),
    "Serve": lambda f: m.Serve(f.kind(), f.number("until_s")),
    "Confirm": lambda f: m.Confirm(
        f.kind(), f.text("instance"), f.whole("incarnation"), f.number("asked_at_s")
    ),
    "Mark": lambda f: m.Mark(f.whole("number")),
    "Leave": lambda f: m.Leave(f.number("until_s")),
    "Marked": lambda f: m.Marked(f.whole("number")),
    "Need": lambda f: m.Need(f.kind(), f.text("instance"), f.whole("incarnation")),
    "Counted": lambda f: m.Counted(f.kind(), _counters(f.inner("counters"))),
    "Over": _over,
    "Trouble": lambda f: m.Trouble(f.text("text", m.SENTENCE_CHARS_MAX)),
}
