"""Events as lines of JSON, in reading order, and back. One line is one key of the ConfigMap.

What is written once is read for ever: `VERSION` grows when a field changes its meaning, and the
reader keeps the older forms. Lines are ASCII without control characters, for kubectl quotes or
refuses anything else (a raw 0x7f makes it fail), and end in a newline, so that it prints them
unfolded.
"""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, cast

from attrs import NOTHING, asdict, fields, frozen

from statemachine.cluster import Registration
from statemachine.events import BY_TRIGGER, Event, Payload, payload_fields
from statemachine.ids import Durability, Instance, Mode, Phase, Seq, Term
from statemachine.reading import each, flag, number, text

VERSION = 1
LINE_BYTES_MAX = 16_384  # a line is a few hundred bytes; facts are cut long before this


class LedgerCorrupt(Exception):
    """A history that we did not write like this. Keep the last verified state and route, say so
    loudly; the leader restores the verified copy."""


@frozen
class Entry:
    """One entry of the ledger: the event, and what makes it evidence. `main`, `sync`, `readers`
    and `term` are those *after* the event, repeated for the reader and checked against the fold."""

    seq: Seq
    at: str  # UTC, ISO 8601 with milliseconds; for people, no decision looks at it
    event: Event
    main: Instance | None
    sync: tuple[Instance, ...]
    readers: tuple[Instance, ...]
    term: Term
    by: str
    id: str
    prev: str


def key_of(seq: int) -> str:
    """The ConfigMap key of an entry: zero-padded, so that sort order is the order of events."""
    return f"{seq:08d}"


def encode(entry: Entry) -> str:
    """The entry as one line, newline included.

    Raises ValueError for a line above LINE_BYTES_MAX.
    """
    event = entry.event
    data = {name: _plain(getattr(event.payload, name)) for name in payload_fields(event.payload)}
    document = {
        "seq": entry.seq,
        "at": entry.at,
        "from": event.source.value,
        "on": event.trigger,
        "to": event.dest.value,
        "why": event.why,
        "main": entry.main,
        "sync": sorted(entry.sync),
        "readers": sorted(entry.readers),
        "term": entry.term,
        "data": data,
        "facts": dict(event.facts),
        "by": entry.by,
        "id": entry.id,
        "v": VERSION,
        "prev": entry.prev,
    }
    line = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    line = line.replace("\x7f", "\\u007f") + "\n"
    if len(line) > LINE_BYTES_MAX:
        raise ValueError(f"an event of {len(line)} bytes is above {LINE_BYTES_MAX}")
    return line


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case frozenset():
            return sorted(value)
        case tuple():
            return [_plain(v) for v in value]
        case Registration():
            return {k: _plain(v) for k, v in asdict(value).items()}
        case _:
            return value


def decode(line: str) -> Entry:
    """The entry of one line.

    Raises:
        LedgerCorrupt: not JSON, a field missing or of the wrong kind, an unknown trigger, or a
            version that this program does not know (a newer one wrote it: upgrade).
    """
    if len(line) > LINE_BYTES_MAX:
        raise LedgerCorrupt(f"a line of {len(line)} bytes is above {LINE_BYTES_MAX}")
    try:
        document = json.loads(line)
    except ValueError as error:
        raise LedgerCorrupt(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LedgerCorrupt("not a JSON object")
    version = document.get("v")
    if version != VERSION or isinstance(version, bool):
        raise LedgerCorrupt(f"version {version!r} of an entry is not known here")
    try:
        return _entry(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LedgerCorrupt(f"entry {document.get('seq')!r}: {error!r}") from error


def _entry(document: Mapping[str, Any]) -> Entry:
    kind = BY_TRIGGER[document["on"]]
    event = Event(
        payload=_payload(kind, document["data"]),
        source=Phase(document["from"]),
        dest=Phase(document["to"]),
        why=text(document["why"]),
        facts=tuple((text(k), text(v)) for k, v in document["facts"].items()),
    )
    main = document["main"]
    return Entry(
        seq=Seq(number(document["seq"])),
        at=text(document["at"]),
        event=event,
        main=None if main is None else Instance(text(main)),
        sync=_listed(document["sync"]),
        readers=_listed(document["readers"]),
        term=Term(number(document["term"])),
        by=text(document["by"]),
        id=text(document["id"]),
        prev=text(document["prev"]),
    )


_listed = each(text)  # instances are texts


def _instances(value: Any) -> frozenset[Instance]:
    return frozenset(_listed(value))


def _registrations(value: Any) -> tuple[Registration, ...]:
    return tuple(_registration(r) for r in value)


def _registration(value: Mapping[str, Any]) -> Registration:
    return Registration(
        name=text(value["name"]),
        instance=Instance(text(value["instance"])),
        mode=Mode(value["mode"]),
        address=text(value["address"]),
        pod=text(value["pod"]),
        is_joined=flag(value["is_joined"]),
        main_pod=text(value.get("main_pod", "")),
    )


def _maybe_text(value: Any) -> str | None:
    return None if value is None else text(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "mode": Mode,
    "durability": Durability,
    "sync": _instances,
    "readers": _instances,
    "lagging": _instances,
    "registrations": _registrations,
    "is_on": flag,
    "at_s": number,
    "token": number,
    "generation": number,
    "until_s": number,
    "archive": number,
    "upto": number,
    "retired": each(number),
    "needs_drain": flag,
    "was_silent": flag,
    "was_behind": flag,
    "candidate": _maybe_text,
}


def _payload(kind: type[Payload], data: Mapping[str, Any]) -> Payload:
    defaults = {f.name for f in fields(kind) if f.default is not NOTHING}
    values = {
        name: _value(name, data[name])
        for name in payload_fields(kind)
        if name in data or name not in defaults  # entries from before a field existed
    }
    make: Any = kind
    return cast(Payload, make(**values))


def _value(name: str, value: Any) -> Any:
    read: Callable[[Any], Any] = _READERS.get(name, text)
    return read(value)
