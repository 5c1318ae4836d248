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
    SetAside,
)
from statemachine.codec import LedgerCorrupt
from statemachine.ids import Durability, Instance, Mode, Phase, Seq
from statemachine.reading import each, flag, number, text

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
        head = text(document["head"])
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


def _set(value: Any) -> frozenset[Any]:
    return frozenset(each(text)(value))


def _made(kind: type[AttrsInstance]) -> Callable[[Any], Any]:
    return lambda value: _read(kind, value)


def _pair(value: Any) -> tuple[Instance, str]:
    instance, pod = each(text)(value)
    return Instance(instance), pod


_FIELDS: dict[type[AttrsInstance], dict[str, Callable[[Any], Any]]] = {
    Cluster: {
        "phase": Phase,
        "seq": number,
        "term": number,
        "leader": text,
        "main": text,
        "main_term": number,
        "is_fresh": flag,
        "rw_open": flag,
        "is_main_lost": flag,
        "was_main_silent": flag,
        "is_fenced": flag,
        "rw_closed_seq": number,
        "sync": _set,
        "readers": _set,
        "storage_uuid": text,
        "generation": number,
        "registrations": each(_made(Registration)),
        "change": _made(Change),
        "epoch_pods": each(_pair),
        "durability": Durability,
        "durability_setting": Durability,
        "refused": each(_made(Refused)),
        "lagging": _set,
        "is_main_drained": flag,
        "verdict": text,
        "owing": _set,
        "pause": _made(Pause),
        "is_observed": flag,
        "lost_at_s": number,
        "is_cooldown_lifted": flag,
        "answered": each(text),
        "noted": _set,
        "archived": _made(Archived),
        "set_aside": each(_made(SetAside)),
    },
    Registration: {
        "name": text,
        "instance": text,
        "mode": Mode,
        "address": text,
        "pod": text,
        "is_joined": flag,
        "main_pod": text,
    },
    Change: {
        "cause": text,
        "old_main": text,
        "candidate": text,
        "is_forced": flag,
        "verdict": text,
        "was_silent": flag,
        "was_behind": flag,
        "is_planned": flag,
        "needs_drain": flag,
        "is_drained": flag,
        "fence": text,
        "registered": _set,
    },
    Refused: {"instance": text, "term": number, "text": text, "token": number},
    SetAside: {
        "instance": text,
        "token": number,
        "at_s": number,
        "verdict": text,
        "is_acknowledged": flag,
        "is_released": flag,
    },
    Pause: {"author": text, "reason": text, "until_s": number},
    Archived: {
        "first": number,
        "last": number,
        "upto": number,
        "snapshot": text,
        "retired": each(number),
    },
}
"""How each field of each value is read; a test compares the names with the values' own."""
