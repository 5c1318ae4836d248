"""Messages as values: how one is put together, and what the maps in them say."""

from collections.abc import Mapping
from typing import Any

import attrs

from controller.sandbox.memgraph.bolt.framing import chunked
from controller.sandbox.memgraph.bolt.packstream import Structure, pack
from controller.sandbox.memgraph.failures import ProtocolBroken, TransientFailure

DATABASE = "memgraph"


@attrs.frozen
class Extras:
    """What RUN and BEGIN may carry for a transaction.

    Attributes:
        timeout_s: how long its queries may run; None leaves it to the flag.
        metadata: shown by SHOW TRANSACTIONS.
    """

    timeout_s: float | None = None
    metadata: Mapping[str, Any] = attrs.Factory(dict)


def message_bytes(tag: int, *fields: Any) -> bytes:
    return chunked(pack(Structure(tag, fields)))


def map_at(fields: tuple[Any, ...], at: int) -> dict[str, Any]:
    """The map in this field; empty when there is no such field.

    Raises:
        ProtocolBroken: something else is there.
    """
    value = fields[at] if len(fields) > at else {}
    if not isinstance(value, dict):
        raise ProtocolBroken("a map was expected")
    return value


def number_at(values: Mapping[str, Any], name: str) -> int | None:
    """`n` or `qid` of a fetch; None for -1, which means all or the last one.

    Raises:
        ProtocolBroken: no integer.
    """
    value = values.get(name, -1)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProtocolBroken(f"{name} is no integer")
    return None if value == -1 else value


def extras_of(values: Mapping[str, Any]) -> Extras:
    """The extras of RUN and BEGIN; a `tx_timeout` is in milliseconds, and 0 means none.

    Raises:
        TransientFailure: they name a database that is not there.
        ProtocolBroken: a value of the wrong kind.
    """
    database = values.get("db") or DATABASE
    if database != DATABASE:
        raise TransientFailure(f'Tried to retrieve an unknown database "{database}".')
    timeout_ms, metadata = values.get("tx_timeout") or 0, values.get("tx_metadata") or {}
    if not isinstance(timeout_ms, int) or not isinstance(metadata, dict):
        raise ProtocolBroken("tx_timeout or tx_metadata of the wrong kind")
    return Extras(timeout_ms / 1000 if timeout_ms > 0 else None, metadata)
