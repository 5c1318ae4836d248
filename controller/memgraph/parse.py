"""Answers of Memgraph, parsed into values; pure, and the only place that knows column names.

Promise: an answer that is understood becomes the same value whatever its form (case, map or
string, int or float); one that is not becomes UNKNOWN or raises MemgraphUnreadable, and never reads
as "not main" or "healthy". What a newcomer gets wrong: `behind` is zero or *negative* for ordinary
lag; a positive one means that the replica is ahead of its main (scenario 5).
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from controller.errors import MemgraphUnreadable
from statemachine.ids import Mode, Role, RowStatus
from statemachine.observations import Row

# Any: a Bolt value is whatever the server packed
Record = Mapping[str, Any]
_Known = TypeVar("_Known", bound=Enum)

VERSION_MIN = (3, 5)  # STRICT_SYNC exists from there on (MEMGRAPH 0)
DEFAULT_DATABASE = "memgraph"  # the only key of data_info without a licence
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_REGISTER_ERROR = re.compile(r"Couldn't register replica .*Error: (\d+)", re.DOTALL)


def parse_role(records: Sequence[Record]) -> Role:
    """Raises MemgraphUnreadable when there is no role in the answer at all (scenario 3)."""
    return _known(Role, _only(records, "replication role"), Role.UNKNOWN)


def parse_rows(records: Sequence[Record]) -> tuple[Row, ...]:
    """The rows of SHOW REPLICAS, in Memgraph's order."""
    return tuple(_row(record) for record in records)


def parse_version(records: Sequence[Record]) -> str:
    """The version as Memgraph gives it, with its suffix if there is one."""
    return str(_only(records, "version")).strip()


def require_supported(version: str) -> None:
    """Raises MemgraphUnreadable for a version below 3.5 or one that is no version."""
    numbers = version_numbers(version)
    if numbers < VERSION_MIN:
        needed = ".".join(map(str, VERSION_MIN))
        raise MemgraphUnreadable(
            f"Memgraph {version} is not supported: {needed} or later is needed, for STRICT_SYNC"
        )


def version_numbers(version: str) -> tuple[int, int]:
    """Major and minor. Raises MemgraphUnreadable."""
    found = _VERSION.match(version)
    if found is None:
        raise MemgraphUnreadable(f"{version!r} is no version")
    return int(found[1]), int(found[2])


def parse_storage_uuid(records: Sequence[Record]) -> str:
    """`database_uuid` of SHOW STORAGE INFO (name and value rows); "" when it is not shown."""
    for record in records:
        if _column(record, "storage info") == "database_uuid":
            value = _column(record, "value")
            return "" if value is None else str(value)
    return ""


def parse_node_count(records: Sequence[Record]) -> int:
    """The answer to COUNT_NODES. Raises MemgraphUnreadable."""
    count = _integer(_only(records, "nodes"))
    if count is None:
        raise MemgraphUnreadable("count(n) is no number")
    return count


def register_error(text: str) -> int | None:
    """n of "Couldn't register replica ... Error: n"; None for any other text (MEMGRAPH 2.3)."""
    found = _REGISTER_ERROR.search(text)
    return int(found[1]) if found else None


def _row(record: Record) -> Row:
    status, behind, ts = _data_info(_column(record, "data_info"))
    return Row(
        name=str(_column(record, "name")),
        address=str(_column(record, "socket_address")),
        mode=_known(Mode, _column(record, "sync_mode"), Mode.UNKNOWN),
        status=status,
        behind=behind,
        ts=ts,
    )


def _data_info(value: object) -> tuple[RowStatus, int | None, int | None]:
    """Status, behind and ts of the default database. An empty map, null and a map without that
    key all say that no storage client exists on the main: ABSENT, "healthy" least of all."""
    if isinstance(value, str):
        value = _flow(value)
    if value is None:
        return RowStatus.ABSENT, None, None
    if not isinstance(value, Mapping):
        return RowStatus.UNKNOWN, None, None
    info = value.get(DEFAULT_DATABASE)
    if not isinstance(info, Mapping):
        absent = info is None
        return (RowStatus.ABSENT if absent else RowStatus.UNKNOWN), None, None
    status = _known(RowStatus, info.get("status"), RowStatus.UNKNOWN)
    return status, _integer(info.get("behind")), _integer(info.get("ts"))


def _flow(text: str) -> object:
    """A map written as JSON or as a YAML flow map; the text itself when it is neither."""
    import yaml  # here, for the command line must not pay for it

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value and abs(value) != float("inf") else None


def _known(kind: type[_Known], value: object, unknown: _Known) -> _Known:
    """The member whose value this is, whatever its case (scenario 2)."""
    wanted = str(value).strip().lower()
    return next((member for member in kind if member.value == wanted), unknown)


def _only(records: Sequence[Record], column: str) -> Any:
    if not records:
        raise MemgraphUnreadable(f"an answer without rows where {column!r} was expected")
    return _column(records[0], column)


def _column(record: Record, column: str) -> Any:
    try:
        return record[column]
    except KeyError:
        shown = ", ".join(map(repr, record)) or "none"
        raise MemgraphUnreadable(f"no column {column!r} in an answer; it has {shown}") from None
