"""The sentence a client reads when a commit did not reach its replicas (MEMGRAPH 2.1)."""

from collections.abc import Sequence

import attrs

from controller.sandbox.memgraph.failures import ClientFailure, Failure, TransientFailure
from controller.sandbox.memgraph.replication.client import ReplicaClient
from controller.sandbox.memgraph.replication.rpc import Reason

_PLURAL = {
    Reason.NOT_IN_SYNC: "replicas are not reachable or not in sync with the main",
    Reason.DIVERGED: "replicas have diverged from main",
}
_CHECK = "Check the status of the replicas using 'SHOW REPLICAS' query."


@attrs.frozen(eq=False)
class Shortfall:
    """One replica that did not take a commit."""

    client: ReplicaClient
    reason: Reason


def replication_failure(
    shortfalls: Sequence[Shortfall], *, aborted: bool, release: tuple[int, int], explicit: bool
) -> Failure:
    """The failure in the words and with the class of a release.

    Up to 3.7 an auto-commit got the retryable class, though a SYNC write is committed.
    """
    if release < (3, 10):
        text = _old_text(aborted, release)
        kind = TransientFailure if release < (3, 8) and not explicit else ClientFailure
        return kind(text)
    return ClientFailure(_text(shortfalls, aborted))


def _old_text(aborted: bool, release: tuple[int, int]) -> str:
    mode = "STRICT_SYNC" if aborted else "SYNC"
    text = f"At least one {mode} replica has not confirmed committing last transaction."
    if aborted:
        text += " Transaction will be aborted on all instances."
    # The running 3.6.1 answered without the frame that the sources of later releases show.
    return text if release < (3, 8) else f"Replication Exception: {text} {_CHECK}"


def _text(shortfalls: Sequence[Shortfall], aborted: bool) -> str:
    groups: dict[tuple[str, Reason], list[str]] = {}
    for shortfall in shortfalls:
        registration = shortfall.client.registration
        key = (registration.mode.upper(), shortfall.reason)
        groups.setdefault(key, []).append(registration.name)
    parts = [_group(mode, reason, names) for (mode, reason), names in groups.items()]
    count = len(shortfalls)
    parts.append(f"{'Replica' if count == 1 else 'Replicas'} will be recovered automatically.")
    parts.append(
        "Transaction was aborted on all instances."
        if aborted
        else "Transaction is still committed on the main instance and other alive replicas."
    )
    late = [s.client.registration.name for s in shortfalls if s.reason is Reason.RPC_TIMEOUT]
    if late:
        parts.append(_timeout(late))
    return f"Replication Exception: {' '.join([*parts, _CHECK])}"


def _group(mode: str, reason: Reason, names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    if len(quoted) == 1:
        return f"Failed to replicate to {mode} replica {quoted[0]}: {reason}."
    listed = f"{', '.join(quoted[:-1])} and {quoted[-1]}"
    return f"Failed to replicate to {mode} replicas {listed}: {_PLURAL.get(reason, str(reason))}."


def _timeout(names: list[str]) -> str:
    return (
        f"Main reached an RPC timeout while replicating to [{', '.join(names)}]. One possible "
        "reason for this error is that the replica is down and in that case make sure to recover "
        "it. If all of your replicas are up and running normally, then please try setting a "
        "smaller parameter value for 'deltas_batch_progress_size' using 'SET COORDINATOR SETTING' "
        "query on the coordinator."
    )
