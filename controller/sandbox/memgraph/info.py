"""The rows of SHOW ..., with Memgraph's columns.

Promise: no row needs the network; SHOW REPLICAS is the main's cache (MEMGRAPH 1.3).
"""

import resource
from collections.abc import Callable
from typing import Any

from controller.sandbox.memgraph import failures
from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.flags import DEFAULTS
from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.replication.client import ReplicaClient, Status

Rows = list[list[Any]]
DATABASE = "memgraph"


def replication_role(instance: Instance) -> Rows:
    return [[instance.roles.state.role]]


def replicas(instance: Instance) -> Rows:
    """One row a registration, in the order of registering; a zombie has an empty `data_info`.

    Raises:
        ClientFailure: this is no MAIN.
    """
    roles, ldt = instance.roles, instance.storage.ldt
    if not roles.is_main:
        raise ClientFailure(failures.SHOW_REPLICAS_ON_REPLICA)
    rows: Rows = []
    for row in roles.state.registrations:
        client = roles.client(row.name)
        data: dict[str, Any] = {}
        if client is not None:
            info = {"ts": client.ts, "behind": client.ts - ldt, "status": str(client.status)}
            data = {DATABASE: info}
        rows.append([row.name, row.address, row.mode, _system_info(instance, client), data])
    return rows


def _system_info(instance: Instance, client: ReplicaClient | None) -> dict[str, Any] | None:
    """What the system replication of a licence would say; nothing of it happens here."""
    if not instance.flags.has_licence:
        return None
    reached = client is not None and client.status is not Status.INVALID
    return {"ts": 0, "behind": None, "status": "ready" if reached else "invalid"}


def storage_info(instance: Instance) -> Rows:
    """The instance level form of 3.11 and later; the older one has the database's rows too."""
    resident = _mebibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    if instance.flags.release < (3, 11):
        return _old_storage_info(instance, resident)
    return [
        ["vm_max_map_count", 262144],
        ["memory_res", resident],
        ["peak_memory_res", resident],
        ["disk_usage", _mebibytes(0)],
        ["memory_tracked", "0B"],
        ["memory_limit", "UNLIMITED"],
        ["license_memory_limit", "UNLIMITED"],
        ["query+graph_memory_tracked", "0B"],
        ["vector_index_memory_tracked", "0B"],
        ["global_isolation_level", "SNAPSHOT_ISOLATION"],
        ["session_isolation_level", ""],
        ["next_session_isolation_level", ""],
        ["global_storage_mode", instance.storage.mode],
    ]


def _old_storage_info(instance: Instance, resident: str) -> Rows:
    return [
        *_counts(instance, state=False),
        ["vm_max_map_count", 262144],
        ["memory_res", resident],
        ["peak_memory_res", resident],
        ["unreleased_delta_objects", 0],
        ["disk_usage", _mebibytes(0)],
        ["memory_tracked", "0B"],
        ["allocation_limit", "UNLIMITED"],
        ["global_isolation_level", "SNAPSHOT_ISOLATION"],
        ["session_isolation_level", ""],
        ["next_session_isolation_level", ""],
        ["storage_mode", instance.storage.mode],
    ]


def _counts(instance: Instance, *, state: bool) -> Rows:
    nodes, relationships = instance.storage.graph.counts()
    rows: Rows = [["name", DATABASE], ["database_uuid", instance.storage.uuid]]
    if state:
        rows += [["state", "HOT"], ["storage_mode", instance.storage.mode]]
    average = 2 * relationships / nodes if nodes else 0.0
    return [
        *rows,
        ["vertex_count", nodes],
        ["edge_count", relationships],
        ["average_degree", average],
    ]


def database_info(instance: Instance) -> Rows:
    """SHOW STORAGE INFO ON CURRENT DATABASE: here are the UUID and the counts."""
    return [
        *_counts(instance, state=True),
        ["unreleased_delta_objects", 0],
        ["disk_usage", _mebibytes(0)],
        ["graph_memory_tracked", "0B"],
        ["query_memory_tracked", "0B"],
        ["vector_index_memory_tracked", "0B"],
        ["tenant_memory_tracked", "0B"],
        ["tenant_peak_memory_tracked", "0B"],
        ["tenant_memory_limit", "UNLIMITED"],
        ["storage_isolation_level", "SNAPSHOT_ISOLATION"],
        ["health", "ready"],
    ]


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 1024 / 1024:.2f}MiB"


def version(instance: Instance) -> Rows:
    return [[instance.flags.version]]


def config(instance: Instance) -> Rows:
    values = instance.flags.values
    return [[name, DEFAULTS[name], values[name], ""] for name in sorted(DEFAULTS)]


def snapshots(instance: Instance) -> Rows:
    rows: Rows = []
    for path in instance.storage.snapshots.paths():
        stamp, _, ldt = path.name.partition("_timestamp_")
        created = (
            f"{stamp[0:4]}-{stamp[4:6]}-{stamp[6:8]} {stamp[8:10]}:{stamp[10:12]}:{stamp[12:14]}"
        )
        rows.append([str(path), int(ldt), created, _mebibytes(path.stat().st_size)])
    return rows


def indexes(instance: Instance) -> Rows:
    graph = instance.storage.graph
    return [
        ["label+property" if keys else "label", label, list(keys), len(list(graph.labelled(label)))]
        for label, keys in graph.indexes
    ]


def constraints(instance: Instance) -> Rows:
    """An existence constraint names its only property, a unique one the list of its own."""
    graph = instance.storage.graph
    return [
        *(["exists", label, keys[0], ""] for label, keys in graph.existence),
        *(["unique", label, list(keys), ""] for label, keys in graph.constraints),
    ]


def users(instance: Instance) -> Rows:
    return [[name] for name in instance.users.names()]


def transactions(instance: Instance) -> Rows:
    return instance.activity.rows()


def triggers(instance: Instance) -> Rows:
    return instance.triggers.rows()


def license_info(instance: Instance) -> Rows:
    return [
        ["organization_name", ""],
        ["license_key", ""],
        ["is_valid", False],
        ["license_type", ""],
        ["valid_until", ""],
        ["memory_limit", "UNLIMITED"],
        ["status", "You have not provided any license!"],
    ]


def build_info(instance: Instance) -> Rows:
    return [["build_type", "stand-in"]]


def databases(instance: Instance) -> Rows:
    raise ClientFailure(
        "Your license has an invalid type. To use multi-tenancy you need to have an enterprise "
        "license. \n"
    )


def instances(instance: Instance) -> Rows:
    raise ClientFailure(
        "Coordinator was not initialized as coordinator port, coordinator id or management port "
        "were not set."
    )


_PAIRS = ["storage info", "value"]
ANSWERS: dict[str, tuple[list[str], Callable[[Instance], Rows]]] = {
    "REPLICATION ROLE": (["replication role"], replication_role),
    "REPLICAS": (
        ["name", "socket_address", "sync_mode", "system_info", "data_info"],
        replicas,
    ),
    "STORAGE INFO": (_PAIRS, storage_info),
    "STORAGE INFO ON CURRENT DATABASE": (_PAIRS, database_info),
    "STORAGE INFO ON DATABASE MEMGRAPH": (_PAIRS, database_info),
    "VERSION": (["version"], version),
    "CONFIG": (["name", "default_value", "current_value", "description"], config),
    "SNAPSHOTS": (["path", "timestamp", "creation_time", "size"], snapshots),
    "INDEX INFO": (["index type", "label", "property", "count"], indexes),
    "CONSTRAINT INFO": (["constraint type", "label", "properties", "data_type"], constraints),
    "TRIGGERS": (
        ["trigger name", "statement", "privilege context", "event type", "phase", "owner"],
        triggers,
    ),
    "USERS": (["user"], users),
    "TRANSACTIONS": (
        [
            *("username", "transaction_id", "query", "status"),
            *("metadata", "start_time", "elapsed_ms"),
        ],
        transactions,
    ),
    "LICENSE INFO": (["license info", "value"], license_info),
    "BUILD INFO": (["build info", "value"], build_info),
    "DATABASES": (["Name"], databases),
    "INSTANCES": (["name"], instances),
}
