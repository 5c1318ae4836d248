"""Errors split by blame (who must do what), raised by adapters after translating foreign ones.

Each adapter has exactly one table from foreign exceptions to these, always chained. "Nobody's"
errors (a refused client, a guard that said no) are returned values and are not here.
"""


class ControllerError(Exception):
    """Base of everything below."""


class Unknown(ControllerError):
    """The answer was lost: it may have happened, or may still happen. Read back; never assume."""


class LedgerOutcomeUnknown(Unknown):
    """A write of the ledger got no answer. Re-read and look for the own id; absence is no proof."""


class CommandOutcomeUnknown(Unknown):
    """A statement that changes Memgraph got no answer. Read the role or the rows back."""


class NoLongerOurs(ControllerError):
    """Somebody else has acted. Stop acting, fold again, decide again. Not logged as an error."""


class LedgerConflict(NoLongerOurs):
    """Another writer changed the ledger first (409)."""


class LeaseLost(NoLongerOurs):
    """This process may no longer act as leader."""


class Passing(ControllerError):
    """Theirs, passing: becomes an observation; the machine decides."""


class KubeUnavailable(Passing):
    """The API server does not answer, answers 5xx or 429. `retry_after_s` is its own wish."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WatchExpired(Passing):
    """410: the watch position is too old. List again; routine."""


class MemgraphUnreachable(Passing):
    """No connection to the instance. `refused`: nobody listens there; else it stayed silent."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class Lasting(ControllerError):
    """Theirs, lasting: observation plus loud status; no fast retry."""


class KubeForbidden(Lasting):
    """401 or 403. The message names verb and resource."""


class KubeNotFound(Lasting):
    """404: the object is not there."""


class KubeRefused(Lasting):
    """Any other refusal of the API server (400, 413, 422 ...); `status` is its code."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class MemgraphRefused(Lasting):
    """Memgraph answered with an error; `statement`, `code` and `message` are its own."""

    def __init__(self, statement: str, code: str, message: str) -> None:
        super().__init__(f"{statement}: {message} ({code})")
        self.statement, self.code, self.message = statement, code, message


class MemgraphAuthFailed(Lasting):
    """Memgraph lives but does not accept our user or password. Never "main lost"."""


class MemgraphUnreadable(Lasting):
    """An answer that we cannot parse, or a version below 3.5."""
