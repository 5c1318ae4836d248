"""Every statement that this project says to Memgraph, and the guards on what is put into one.

Promise: text that came from outside enters a statement only after it matched a narrow pattern, and
names stand in back-ticks. Memgraph takes no parameters in replication statements (MEMGRAPH 1.1),
so they are built as text, and only here.
"""

import re

from statemachine.ids import Mode, Role

SHOW_ROLE = "SHOW REPLICATION ROLE"
SHOW_REPLICAS = "SHOW REPLICAS"
SHOW_VERSION = "SHOW VERSION"
SHOW_DATABASE_INFO = "SHOW STORAGE INFO ON CURRENT DATABASE"  # from 3.11 on
SHOW_STORAGE_INFO = "SHOW STORAGE INFO"  # before; has no database_uuid from 3.11 on
COUNT_NODES = "MATCH (n) RETURN count(n) AS nodes"  # vertex_count lags behind deletes (L17)
CREATE_SNAPSHOT = "CREATE SNAPSHOT"
MARKER = "CREATE (n:`__memgraph_controller`) DELETE n"  # a commit that leaves nothing (L6)
BECOME_MAIN = "SET REPLICATION ROLE TO MAIN"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_WRITABLE_MODES = {Mode.STRICT_SYNC: "STRICT_SYNC", Mode.SYNC: "SYNC", Mode.ASYNC: "ASYNC"}


class BadStatement(ValueError):
    """A name, address, port or mode that must not become part of a statement."""


def become(role: Role, replication_port: int) -> str:
    """SET REPLICATION ROLE; the port counts for a replica alone."""
    if role is Role.MAIN:
        return BECOME_MAIN
    if role is not Role.REPLICA:
        raise BadStatement(f"no instance can be made {role.value}")
    if not 0 < replication_port < 65536:
        raise BadStatement(f"replication port {replication_port} is not within 1..65535")
    return f"SET REPLICATION ROLE TO REPLICA WITH PORT {replication_port:d}"


def register(name: str, mode: Mode, address: str) -> str:
    """REGISTER REPLICA, with checked parts.

    Raises:
        BadStatement: a part is not what it claims to be; nothing may be sent.
    """
    host, port = split_address(address)
    if mode not in _WRITABLE_MODES:
        raise BadStatement(f"no replica can be registered as {mode.value}")
    return f'REGISTER REPLICA {quoted(name)} {_WRITABLE_MODES[mode]} TO "{host}:{port:d}"'


def drop(name: str) -> str:
    """DROP REPLICA. Raises BadStatement."""
    return f"DROP REPLICA {quoted(name)}"


def quoted(name: str) -> str:
    """A replica's name in back-ticks, as `-` and `.` need (scenario 13). Raises BadStatement."""
    if not _NAME.fullmatch(name):
        raise BadStatement(f"{name!r} is no replica name: letters, digits, '_', '-', '.' only")
    return f"`{name}`"


def split_address(address: str) -> tuple[str, int]:
    """("host", port) of "host:port"; no IPv6, which Memgraph cannot take. Raises BadStatement."""
    host, _, port = address.partition(":")
    if not _HOST.fullmatch(host) or not _PORT.fullmatch(port) or int(port) > 65535:
        raise BadStatement(f"{address!r} is no address of the form host:port")
    return host, int(port)
