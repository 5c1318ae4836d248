"""The words that every room shares: ids, phases, roles, modes.

Ids are NewTypes, so that a term cannot be passed where a sequence number is wanted. What a
newcomer gets wrong: an *instance* is a stable name (`memgraph-0`); its *pod* changes.
"""

from enum import Enum
from typing import NewType

Instance = NewType("Instance", str)  # stable name, "memgraph-0"
Term = NewType("Term", int)  # our own counter, never Memgraph's epoch
Seq = NewType("Seq", int)  # position in the ledger, from 1, without gaps
Incarnation = NewType("Incarnation", int)
"""Counts the kept connections of one prober to one instance: as long as it is the same, so is the
process behind it. Means nothing in another process and never enters the ledger."""


class Phase(Enum):
    """The four states of the machine; the values are what the ledger shows."""

    BOOTSTRAP = "BOOTSTRAP"
    OPERATIONAL = "OPERATIONAL"
    FAILOVER = "FAILOVER"
    DEGRADED = "DEGRADED"


class Role(Enum):
    """Memgraph's replication role; UNKNOWN is an answer we do not understand, never "not main"."""

    MAIN = "main"
    REPLICA = "replica"
    UNKNOWN = "unknown"


class Mode(Enum):
    """Memgraph's replication mode of one registration."""

    STRICT_SYNC = "strict_sync"
    SYNC = "sync"
    ASYNC = "async"
    UNKNOWN = "unknown"


class RowStatus(Enum):
    """`data_info` status of a row of SHOW REPLICAS; ABSENT is `{}`, a row that replicates nothing.

    Source: Memgraph `src/storage/v2/replication/enums.hpp`.
    """

    READY = "ready"
    REPLICATING = "replicating"
    RECOVERY = "recovery"
    INVALID = "invalid"
    DIVERGED = "diverged"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Durability(Enum):
    """When the sync replica is lost, writes go on (preferred) or stop (required)."""

    PREFERRED = "preferred"
    REQUIRED = "required"
