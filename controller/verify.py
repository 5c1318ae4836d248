"""What an instance must answer before a gateway may use it as the main (S7). Pure."""

from controller.ports import ProbeAnswer
from statemachine.cluster import Cluster
from statemachine.facts import COUNTS_AS_PRESENT
from statemachine.ids import Role
from statemachine.observations import Row


def why_not_main(cluster: Cluster, answer: ProbeAnswer) -> str:
    """Why this answer is not that of the main which the ledger means; "" when it is."""
    if answer.role is not Role.MAIN:
        return f"it says {answer.role.value}"
    if answer.storage_uuid not in ("", cluster.storage_uuid):
        return f"foreign storage {answer.storage_uuid}"
    if not has_rows_for_sync_set(cluster, answer.rows or ()):
        return "no working row for every member of the sync set"
    return ""


def has_rows_for_sync_set(cluster: Cluster, rows: tuple[Row, ...]) -> bool:
    """Whether the main has, for every other member of the sync set, the row that keeps it from
    acknowledging a write that the member does not have."""
    present = {(r.name, r.mode) for r in rows if r.status in COUNTS_AS_PRESENT}
    owed = {(r.name, r.mode) for r in cluster.registrations if r.is_joined}
    joined = {r.instance for r in cluster.registrations if r.is_joined}
    return owed <= present and cluster.sync_replicas <= joined
