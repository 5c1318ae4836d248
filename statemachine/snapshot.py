"""The cluster at one position of the ledger as a line of JSON, and back: what stands in front of
the live part once older entries have moved into archives.

Promise: who folds the same entries writes the same bytes, so any leader cuts alike and any reader
can compare. What a newcomer gets wrong: fields at their default are left out. A field that a later
program adds therefore changes nothing until it is used; one that this program does not know means
that it cannot carry on from here, and is refused rather than forgotten.
"""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from attrs import AttrsInstance, fields, frozen, has

from statemachine.cluster import (
    Archived,
    Change,
    Cluster,
    Pause,
    Refused,
    Registration,
)
from statemachine.codec import LedgerCorrupt
from statemachine.ids import Durability, Instance, Mode, Phase, Seq

SNAPSHOT_KEY = "snapshot"  # of the ConfigMap: sorts behind the entries, and is no entry
SNAPSHOT_VERSION = 1
SNAPSHOT_BYTES_MAX = 131_072  # one is a few kilobytes


@frozen
class Snapshot:
    """The fold of the entries up to `seq`. `head` is the hash of that entry, `line` how it is
    stored."""

    cluster: Cluster
    head: str
    line: str

    @property
    def seq(self) -> Seq:
        """Position of the last entry that is folded in."""
        return self.cluster.seq


def snapshot_of(cluster: Cluster, head: str) -> Snapshot:
    """The snapshot of this fold, ready to be stored: ASCII, one line, newline included."""
    document = {
        "seq": cluster.seq,
        "head": head,
        "cluster": _plain(cluster),
        "v": SNAPSHOT_VERSION,
    }
    line = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    return Snapshot(cluster, head, line.replace("\x7f", "\\u007f") + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if has(type(value)):
        given = ((f.name, getattr(value, f.name), f.default) for f in fields(type(value)))
        return {name: _plain(v) for name, v, default in given if v != default}
    return value


def read_snapshot(line: str) -> Snapshot:
    """The snapshot of a stored line.

    Raises:
        LedgerCorrupt: not what `snapshot_of` writes, or written by a newer program (upgrade).
    """
    if len(line) > SNAPSHOT_BYTES_MAX:
        raise LedgerCorrupt(f"a snapshot of {len(line)} bytes is above {SNAPSHOT_BYTES_MAX}")
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LedgerCorrupt(f"the snapshot is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LedgerCorrupt("the snapshot is not a JSON object")
    version = document.get("v")
    if version != SNAPSHOT_VERSION or isinstance(version, bool):
        raise LedgerCorrupt(f"version {version!r} of a snapshot is not known here")
    try:
        cluster: Cluster = _read(Cluster, document["cluster"])
        head = _text(document["head"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LedgerCorrupt(f"snapshot: {error!r}") from error
    if document.get("seq") != cluster.seq or isinstance(document.get("seq"), bool):
        raise LedgerCorrupt("the snapshot shows another position than its cluster has")
    return Snapshot(cluster, head, line)


def _read(kind: type[AttrsInstance], value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    readers: Mapping[str, Callable[[Any], Any]] = _FIELDS[kind]
    if unknown := value.keys() - readers.keys():
        raise ValueError(f"unknown fields {sorted(unknown)} of {kind.__name__}")
    return kind(**{name: readers[name](v) for name, v in value.items()})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _each(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def listed(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is no list")
        return tuple(read(v) for v in value)

    return listed


def _set(value: Any) -> frozenset[Any]:
    return frozenset(_each(_text)(value))


def _made(kind: type[AttrsInstance]) -> Callable[[Any], Any]:
    return lambda value: _read(kind, value)


def _pair(value: Any) -> tuple[Instance, str]:
    instance, pod = _each(_text)(value)
    return Instance(instance), pod


_FIELDS: dict[type[AttrsInstance], dict[str, Callable[[Any], Any]]] = {
    Cluster: {
        "phase": Phase,
        "seq": _number,
        "term": _number,
        "leader": _text,
        "main": _text,
        "main_term": _number,
        "is_fresh": _flag,
        "rw_open": _flag,
        "is_main_lost": _flag,
        "rw_closed_seq": _number,
        "sync": _set,
        "readers": _set,
        "storage_uuid": _text,
        "generation": _number,
        "registrations": _each(_made(Registration)),
        "change": _made(Change),
        "epoch_pods": _each(_pair),
        "durability": Durability,
        "durability_setting": Durability,
        "refused": _each(_made(Refused)),
        "lagging": _set,
        "is_main_drained": _flag,
        "verdict": _text,
        "pause": _made(Pause),
        "is_observed": _flag,
        "lost_at_s": _number,
        "is_cooldown_lifted": _flag,
        "answered": _each(_text),
        "noted": _set,
        "archived": _made(Archived),
    },
    Registration: {
        "name": _text,
        "instance": _text,
        "mode": Mode,
        "address": _text,
        "pod": _text,
        "is_joined": _flag,
    },
    Change: {
        "cause": _text,
        "old_main": _text,
        "candidate": _text,
        "is_forced": _flag,
        "verdict": _text,
        "was_silent": _flag,
        "is_planned": _flag,
        "needs_drain": _flag,
        "is_drained": _flag,
        "fence": _text,
    },
    Refused: {"instance": _text, "term": _number, "text": _text, "token": _number},
    Pause: {"author": _text, "reason": _text, "until_s": _number},
    Archived: {
        "first": _number,
        "last": _number,
        "upto": _number,
        "snapshot": _text,
        "retired": _each(_number),
    },
}
"""How each field of each value is read; a test compares the names with the values' own."""
