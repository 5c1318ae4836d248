"""The walls between the loop and the adapters: what each side may count on.

Every port has one implementation on the real thing (`controller.kube`, `controller.memgraph`) and
fakes in the tests; both are held to the same contract suite. All times are seconds. All methods
raise the errors of `controller.errors` and nothing foreign.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import field, frozen

from statemachine.commands import Demote, Drop, Mark, Promote, Register
from statemachine.ids import Incarnation, Instance, Role
from statemachine.observations import GatewayFacts, PodFacts, Request, Row


@frozen
class StoredLedger:
    """The ledger's ConfigMap as it was read: `data` maps zero-padded seq to one JSON line."""

    uid: str
    resource_version: str
    data: Mapping[str, str] = field(hash=False)
    annotations: Mapping[str, str] = field(factory=dict, hash=False)


class LedgerStore(Protocol):
    """The ConfigMap `<release>-ledger`, written by compare-and-set alone."""

    async def read(self) -> StoredLedger | None:
        """The present object by a quorum read (never from a cache); None: there is none."""

    async def create(self, data: Mapping[str, str], annotations: Mapping[str, str]) -> StoredLedger:
        """Raises LedgerConflict when it exists already, LedgerOutcomeUnknown when the answer was
        lost, KubeUnavailable, KubeForbidden, KubeRefused."""

    async def replace(
        self, base: StoredLedger, data: Mapping[str, str], annotations: Mapping[str, str]
    ) -> StoredLedger:
        """PUT with base's resourceVersion; the same errors as create. Never retried in here."""


@frozen
class StoredArchive:
    """An archive as it was read. `created_s`: by the API server's clock, seconds since 1970;
    infinity when it does not say."""

    data: Mapping[str, str] = field(hash=False, repr=False)
    created_s: float


class LedgerArchives(Protocol):
    """The immutable ConfigMaps `<release>-ledger-000007`: older segments of the ledger. All raise
    LedgerOutcomeUnknown (writes), KubeUnavailable, KubeForbidden, KubeRefused."""

    async def read(self, number: int) -> StoredArchive | None:
        """By a quorum read; None: there is none of this number."""

    async def create(self, number: int, data: Mapping[str, str]) -> None:
        """Raises LedgerConflict when there is one already, whatever it holds."""

    async def delete(self, number: int) -> None:
        """One that is gone is success."""


class GatewayLeases(Protocol):
    """The gateway Lease of each controller pod: `<release>-gateway-<pod>`, no ownerReference."""

    async def put(self, facts: GatewayFacts) -> None:
        """Create or renew this pod's Lease so that it says `facts` (annotations), and as
        `earlier_seq` what it told when this process found it, as long as `facts` acknowledge
        nothing; renewTime moves on every call.

        Raises KubeUnavailable, KubeForbidden, KubeRefused."""

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        """All gateway Leases of the release, read from the API server itself."""


class Informers(Protocol):
    """Level-based pictures: the handler gets all present objects after every change, and again
    after every relist that found a difference. Each runs until cancelled and survives every error
    of the API server, which it reports to `on_trouble` (once per change of the text; "" = fine)."""

    async def watch_pods(
        self,
        handler: Callable[[tuple[PodFacts, ...], tuple[PodFacts, ...]], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        """handler(instance pods, controller pods)."""

    async def watch_gateways(
        self,
        handler: Callable[[tuple[GatewayFacts, ...]], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None: ...

    async def watch_ledger(
        self,
        handler: Callable[[StoredLedger | None], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None: ...


class Leadership(Protocol):
    """The leader Lease. Contends for ever; each reign has an identity of its own."""

    async def contend(self, reign: Callable[[str], Awaitable[None]]) -> None:
        """Whenever the Lease is won, run `reign(identity)` in a scope that is cancelled the moment
        the reign is in doubt (LEASE_RENEW_DEADLINE after the last renewal's request was sent).
        When cancelled from outside, releases the Lease."""


class PodControl(Protocol):
    """What the executor may do to pods and reset tokens."""

    async def delete_pod(self, name: str, uid: str, grace_s: int | None = None) -> None:
        """Delete with a UID precondition; a pod that is gone or another by now is success.
        `grace_s` None: the pod's own grace, its preStop hook included."""

    async def write_reset_token(self, instance: Instance, token: int) -> None: ...

    async def withdraw_reset_token(self, instance: Instance) -> None: ...

    async def release_copies(self, instance: Instance, tokens: tuple[int, ...]) -> None:
        """The init container may remove what these resets have set aside, and nothing else."""


class Requests(Protocol):
    """The ConfigMap `<release>-requests`: written by people, tidied up by the leader."""

    async def watch(
        self,
        handler: Callable[[tuple[Request, ...]], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        """As `Informers`: all that stand there, after every change."""

    async def close(self, request_id: str) -> None:
        """Remove one entry; one that is gone is success. Raises CommandOutcomeUnknown,
        KubeUnavailable, KubeForbidden, KubeRefused."""


@frozen
class ProbeAnswer:
    """All answers of one probe over the kept connection `incarnation`."""

    incarnation: Incarnation
    role: Role
    version: str
    storage_uuid: str
    rows: tuple[Row, ...] | None
    node_count: int | None


@frozen
class Carried:
    """A marker that went through: the names whose synchronous row stood, ready and behind 0, before
    and after it."""

    names: tuple[str, ...]


class MemgraphInstance(Protocol):
    """One instance at one address. A kept connection for probes and role commands, fresh ones on
    demand. A new kept connection gets a new incarnation number, process-wide unique."""

    instance: Instance

    async def probe(self, *, count_nodes: bool = False) -> ProbeAnswer:
        """Over the kept connection, opened when there is none. Raises MemgraphUnreachable,
        MemgraphAuthFailed, MemgraphUnreadable, MemgraphRefused."""

    async def probe_fresh(self) -> Role:
        """Dial anew, ask the role, close."""

    async def ping(self, incarnation: Incarnation) -> Role:
        """Ask the role on the kept connection only if it still is `incarnation`; else raises
        MemgraphUnreachable."""

    async def demote(self, command: Demote) -> Incarnation:
        """The instance is REPLICA afterwards, read back. Lock failures are retried after a fresh
        read of the role. Raises MemgraphRefused, MemgraphUnreachable (nothing was sent),
        CommandOutcomeUnknown (sent, and the answer was lost; the connection was aborted)."""

    async def promote(self, command: Promote) -> Incarnation:
        """MAIN, read back, epoch pinned by a storage snapshot, all on one connection; if it was
        MAIN before, demoted first."""

    async def register(self, command: Register) -> None:
        """MemgraphRefused carries Memgraph's text with its "Error: n"."""

    async def drop(self, command: Drop) -> None: ...

    async def mark(self, command: Mark) -> Carried: ...

    async def aclose(self) -> None: ...


class MemgraphInstances(Protocol):
    """Makes and keeps one MemgraphInstance per address; a changed address closes the old one."""

    def at(self, instance: Instance, host: str) -> MemgraphInstance: ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Entered by the composition root: inside, `at` works; on leaving, all is closed."""
