"""Every failure a client can be shown, with its Bolt code.

Promise: code outside this room raises these and nothing else towards a client; the session turns
them into a FAILURE with exactly `code` and `message`. The sentences are Memgraph's own where a
controller may compare them, including their typing errors.
"""

MEMGRAPH_ERROR = "MemgraphError.MemgraphError"
CLIENT_ERROR = f"Memgraph.ClientError.{MEMGRAPH_ERROR}"
TRANSIENT_ERROR = f"Memgraph.TransientError.{MEMGRAPH_ERROR}"
EXECUTION_EXCEPTION = "Memgraph.ExecutionException"
UNAUTHENTICATED = "Memgraph.ClientError.Security.Unauthenticated"

GOES_WRONG = (
    "Something went wrong while executing the query! Check the server logs for more details."
)
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
STORAGE_LOCKED = "Cannot get shared access to the storage. Try stopping other parallel queries."
NESTED_TRANSACTION = "Nested transactions are not supported."
TRANSACTION_BROKEN = (
    "Transaction can't be committed because there was a previous error. Please invoke a rollback "
    "instead."
)
NO_TRANSACTION_COMMIT = "No current transaction to commit."
NO_TRANSACTION_ROLLBACK = "No current transaction to rollback."
NO_ROUTING = "You cannot fetch routing table from an instance which is not part of a cluster."
SYSTEM_QUERY_BUSY = "Multiple concurrent system queries are not supported."
SHOW_REPLICAS_ON_REPLICA = "Show replicas query should only be run on the main instance."
PROMOTE_REFUSED = "Couldn't set replication role to main!"
DEMOTE_REFUSED = "Couldn't set role to replica!"
REGISTER_ON_REPLICA = "Replica can't register another replica!"
DROP_ON_REPLICA = (
    "Replica can't unregister a replica! Please rerun the query on main in order to unregister a "
    "replica from the cluster."
)
DROP_BUSY = (
    "Failed to unregister replica due to lack of unique access over the cluster state. Please try "
    "again later on."
)
BAD_ADDRESS = (
    "Invalid socket address. The socket address must be a string defining the address and port, "
    "delimited by a single colon. The address must be valid and the port must be an integer."
)
SNAPSHOT_ON_REPLICA = (
    "Failed to create a snapshot. Replica instances are not allowed to create them."
)


class Failure(Exception):
    """A statement failed; the client is told `code` and `message`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ClientFailure(Failure):
    """The client is to blame; drivers do not retry it."""

    def __init__(self, message: str) -> None:
        super().__init__(CLIENT_ERROR, message)


class TransientFailure(Failure):
    """Nobody is to blame; drivers may retry it."""

    def __init__(self, message: str) -> None:
        super().__init__(TRANSIENT_ERROR, message)


class DatabaseFailure(Failure):
    """We are to blame; the reason is in the log only, as with the real one."""

    def __init__(self) -> None:
        super().__init__(
            f"Memgraph.DatabaseError.{MEMGRAPH_ERROR}",
            "An unknown exception occurred, this is unexpected. Real message should be in database "
            "logs.",
        )


class ProtocolBroken(Exception):
    """The peer's bytes are no Bolt conversation: this connection alone is closed."""


def unknown_to_stand_in(what: str) -> ClientFailure:
    """The failure for something the real database may know and this one does not."""
    return ClientFailure(f"The Memgraph stand-in does not know {what}.")
