"""The sentences that clients are shown, by release: what a controller and a person compare.

Promise: written from the project's sheet on Memgraph and the recorded exchanges, never from the
stand-in's own code.
"""

from collections.abc import Sequence

from contract_world import CLIENT, TRANSIENT

Release = tuple[int, int]

WRITE_ON_REPLICA = (
    "Write queries are forbidden on the replica instance. Replica instances accept only read "
    "queries, while the main instance accepts read and write queries. Please retry your query on "
    "the main instance."
)
NOT_MAIN_ANYMORE = "Cannot commit because instance is not main anymore."
CONFLICT = (
    "Cannot resolve conflicting transactions. Retry this transaction when the conflicting "
    "transaction is finished. For more details, visit https://memgraph.com/docs"
)
NO_PROMOTION = "Couldn't set replication role to main!"
NO_DEMOTION = "Couldn't set role to replica!"
SHOW_ON_REPLICA = "Show replicas query should only be run on the main instance."
REGISTER_ON_REPLICA = "Replica can't register another replica!"
DROP_ON_REPLICA = (
    "Replica can't unregister a replica! Please rerun the query on main in order to unregister a "
    "replica from the cluster."
)
BAD_ADDRESS = (
    "Invalid socket address. The socket address must be a string defining the address and port, "
    "delimited by a single colon. The address must be valid and the port must be an integer."
)
NOT_IN_SYNC = "replica is not reachable or not in sync with the main"
CONNECTION_BROKE = "RPC communication error"
CHECK = "Check the status of the replicas using 'SHOW REPLICAS' query."
UNKNOWN_MESSAGE = (
    "Something went wrong while executing the query! Check the server logs for more details."
)


def register_failed(name: str, number: int) -> str:
    """REGISTER's complaint since 3.5."""
    return f"Couldn't register replica {name}. Error: {number}"


def in_transaction(release: Release) -> str:
    """A replication query in an explicit transaction; the misspelt words are Memgraph's."""
    known, particular = (
        ("known", "particularquery") if release >= (3, 12) else ("knwon", "particular query")
    )
    return (
        "Managing replication is not allowed in multicommand transactions. A multicommand "
        "transaction, also known as an explicit transaction, groups multiple commands into a "
        f"single atomic operation. Instead, please use an implicit transaction, also {known} as an "
        f"auto committing transaction, in order to execute this {particular}. For more details, "
        "visit https://memgraph.com/docs"
    )


def not_replicated(
    release: Release, mode: str, names: Sequence[str], *, reason: str = NOT_IN_SYNC
) -> tuple[str, str]:
    """Code and text of a write that a SYNC or STRICT_SYNC replica did not confirm.

    The running 3.6.1 answered with the bare sentences; from 3.8 on the sources frame them.
    """
    if release >= (3, 10):
        return CLIENT, _named(mode, names, reason)
    text = f"At least one {mode} replica has not confirmed committing last transaction."
    if mode == "STRICT_SYNC":
        text += " Transaction will be aborted on all instances."
    if release >= (3, 8):
        return CLIENT, f"Replication Exception: {text} {CHECK}"
    return TRANSIENT, text


def _named(mode: str, names: Sequence[str], reason: str) -> str:
    quoted = [f"'{name}'" for name in names]
    if len(names) == 1:
        head = f"Failed to replicate to {mode} replica {quoted[0]}: {reason}. Replica"
    else:
        listed = f"{', '.join(quoted[:-1])} and {quoted[-1]}"
        plural = reason.replace("replica is", "replicas are", 1)
        head = f"Failed to replicate to {mode} replicas {listed}: {plural}. Replicas"
    fate = (
        "Transaction was aborted on all instances."
        if mode == "STRICT_SYNC"
        else "Transaction is still committed on the main instance and other alive replicas."
    )
    return f"Replication Exception: {head} will be recovered automatically. {fate} {CHECK}"
