"""The one table from the driver's and the system's errors to ours.

Promise: every error of the driver becomes one of `controller.errors`, and what proves that nobody
listens (refused, reset) is told apart from silence. Memgraph's wrong password is a plain client
error of the driver and is known by its code alone (MEMGRAPH 5).
"""

import errno

from controller.errors import (
    ControllerError,
    MemgraphAuthFailed,
    MemgraphRefused,
    MemgraphUnreachable,
)

_REFUSED = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE})
_AUTH_CODE = ".ClientError.Security."
CHAIN_MAX = 20  # errors behind an error; a cycle ends there


def foreign_errors() -> tuple[type[Exception], ...]:
    """What a call of the driver may raise because of the other side."""
    from neo4j.exceptions import DriverError, Neo4jError

    # ValueError: a name that cannot be resolved; EOFError: a peer that leaves within a message
    return (Neo4jError, DriverError, OSError, EOFError, ValueError)


def translated(error: Exception, statement: str, address: str) -> ControllerError:
    """Our error for one of `foreign_errors`; the caller raises it `from error`."""
    from neo4j.exceptions import Neo4jError

    if isinstance(error, Neo4jError):
        code, message = str(error.code or ""), str(error.message or error)
        if _AUTH_CODE in code:
            return MemgraphAuthFailed(f"{address} does not accept our user or password: {message}")
        return MemgraphRefused(statement, code, message.strip())
    reason = str(error).replace("\n", " ").strip() or type(error).__name__
    return MemgraphUnreachable(f"{address}: {reason}", refused=_is_refusal(error))


def _is_refusal(error: BaseException) -> bool:
    """Whether the other side's system answered that nobody is there, anywhere in the chain."""
    seen: BaseException | None = error
    for _ in range(CHAIN_MAX):
        if seen is None:
            return False
        if isinstance(seen, OSError) and seen.errno in _REFUSED:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
