"""What is owed to the outside: imperative, idempotent, each with its term.

Commands are computed from state on every turn; the executor runs exactly those owed. Two commands
are the same when they are equal, so nothing that changes from turn to turn belongs in here.
"""

from attrs import frozen

from statemachine.ids import Instance, Mode, Term


@frozen
class Demote:
    """Make the instance a REPLICA listening on the replication port. Erases its registrations."""

    instance: Instance
    term: Term


@frozen
class Promote:
    """Make the instance MAIN and pin its new epoch by a storage snapshot, both in one process
    incarnation; if it says MAIN already, demote it first, for that MAIN is not known to be pinned
    (S11)."""

    instance: Instance
    term: Term


@frozen
class Register:
    """Register `replica` on `main` under a name that was never used before (S8). A replica that
    does not answer as REPLICA and accept on its replication port right now is left alone (L9)."""

    main: Instance
    replica: Instance
    name: str
    mode: Mode
    address: str  # "host:port"
    term: Term


@frozen
class Drop:
    """Remove a row that no registration of the ledger owns any more."""

    main: Instance
    name: str
    term: Term


@frozen
class Mark:
    """Write the marker through the main: it goes through only if every STRICT_SYNC replica has all
    before it. `names`: the rows whose completeness it shall prove; if one of them is not a ready
    STRICT_SYNC row before, nothing is written."""

    main: Instance
    term: Term
    names: tuple[str, ...] = ()


@frozen
class ListGateways:
    """Read the gateway Leases from the API server, after the event with this seq (S6)."""

    after_seq: int
    term: Term


@frozen
class EndIncarnation:
    """Delete the pod, for the outcome of a role command sent to it stays unknown (S9)."""

    instance: Instance
    pod_uid: str
    term: Term


@frozen
class WriteResetToken:
    """Tell the instance's init container to set its data aside. `token` is the ledger's seq of the
    order: it acts only on one greater than the last that it has carried out (S12)."""

    instance: Instance
    token: int
    term: Term


@frozen
class WithdrawResetToken:
    """Take a token back whose order was cancelled or is done."""

    instance: Instance
    term: Term


@frozen
class ReleaseCopies:
    """Tell the instance's init container which of the copies that resets have left it may remove:
    all that are released, so that a repetition changes nothing."""

    instance: Instance
    tokens: tuple[int, ...]
    term: Term


@frozen
class Restart:
    """Delete the pod so that its init container runs; only after the token was written."""

    instance: Instance
    pod_uid: str
    token: int
    term: Term


@frozen
class CloseRequest:
    """Remove a request that the ledger has answered."""

    id: str


Command = (
    Demote
    | Promote
    | Register
    | Drop
    | Mark
    | ListGateways
    | EndIncarnation
    | WriteResetToken
    | WithdrawResetToken
    | ReleaseCopies
    | Restart
    | CloseRequest
)
