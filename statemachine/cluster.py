"""Hard state: the cluster as folded from the ledger, and nothing else.

Promise: two folds of the same events are equal. What a newcomer gets wrong: nothing in here was
*seen*; it was decided. What is seen is in the view, and is lost at a restart.
"""

from attrs import frozen

from statemachine.ids import Durability, Instance, Mode, Phase, Seq, Term


@frozen
class Registration:
    """A name that the present main owes to one replica. Names carry a generation and are never
    used twice (S8). `pod` is the replica's incarnation by the kubelet's word ("uid/restarts") when
    the name was opened: another one later means that it restarted inside this epoch; `main_pod` the
    main's: one that restarted since may never have carried its REGISTER to an end."""

    name: str
    instance: Instance
    mode: Mode
    address: str
    pod: str = ""
    is_joined: bool = False
    main_pod: str = ""


@frozen
class Change:
    """A change of main under way: exists while the phase is FAILOVER, and only then."""

    cause: str
    old_main: Instance | None
    candidate: Instance
    is_forced: bool = False  # a person named the candidate and accepted the loss
    verdict: str = ""  # of that loss, when it was accepted
    was_silent: bool = False  # the old main may have gone on for a while, cut off from us
    was_behind: bool = False  # its replicas were not seen to hold everything right before it died
    is_planned: bool = False  # a renewal: the candidate is the present main, and it is alive
    needs_drain: bool = False  # the marker has to go through the old main before it is demoted
    is_drained: bool = False
    fence: str = ""  # "" until main_fenced, then its proof
    registered: frozenset[Instance] = frozenset()  # in the epoch that ends, whoever is up by now

    @property
    def may_leave_writes_behind(self) -> bool:
        """Whether the old main may have acknowledged what no other copy has: it tells its replica
        before its client, but ignores that the telling failed (MEMGRAPH 3.6a)."""
        if self.is_drained or self.candidate == self.old_main:
            return False
        unseen = self.was_silent or self.was_behind
        return unseen or (self.is_planned and self.fence != "dead")


@frozen
class Refused:
    """An instance whose data the main of `term` does not accept (Error 3 or a foreign identity)."""

    instance: Instance
    term: Term
    text: str
    token: int = 0  # seq of the reset order; 0 = none


@frozen
class SetAside:
    """Data that a reset has moved aside on the volume of its instance; `token` names the copy.
    `verdict`: whether acknowledged writes may be missing without it, by the ledger at that time."""

    instance: Instance
    token: int
    at_s: int  # wall seconds since the epoch, when the instance was back empty
    verdict: str = ""
    is_acknowledged: bool = False  # a person has looked at that incident
    is_released: bool = False  # the init container may remove it

    @property
    def needs_a_person(self) -> bool:
        """Whether it may hold a write that is nowhere else, and nobody has looked at it yet."""
        return self.verdict not in ("", "none") and not self.is_acknowledged


@frozen
class Pause:
    """A person has stopped all decisions for a while. `until_s`: wall seconds since the epoch."""

    author: str
    reason: str
    until_s: int


@frozen
class Archived:
    """Where the entries before the live part are. `first` to `last` are the numbers of the archives
    that `verify` may count on, `upto` the last entry in them, `snapshot` the hash of the snapshot
    that stands in front of the live part. `retired` are given up for good and may be deleted."""

    first: int
    last: int
    upto: Seq
    snapshot: str
    retired: tuple[int, ...] = ()


@frozen
class Cluster:
    """The fold of the ledger up to `seq`."""

    phase: Phase = Phase.BOOTSTRAP
    seq: Seq = Seq(0)
    term: Term = Term(0)
    leader: str = ""
    main: Instance | None = None
    main_term: Term = Term(0)
    """Term in which the main was given to clients: the route's term. A new leader alone does not
    change it, so that it cuts nobody."""
    is_fresh: bool = False
    """The main was appointed over proven emptiness and was never promoted yet."""
    rw_open: bool = False
    """Whether clients may write when the phase allows it."""
    is_main_lost: bool = False
    """The main is gone and nobody else is safe: RW stays closed until it is back."""
    was_main_silent: bool = False
    """And it may have gone on for a while, cut off from us, or its replicas were not seen to hold
    everything: until it is main again, it may hold an acknowledged write that no other member of
    the sync set has (S13)."""
    is_fenced: bool = False
    """An older main was proved to be harmless, and no main was given to clients since: whoever was
    promoted meanwhile has acknowledged nothing (S4)."""
    rw_closed_seq: Seq = Seq(0)
    """Seq of the last event that closed RW: what gateways must have acknowledged."""
    sync: frozenset[Instance] = frozenset()
    """The instances that each hold every acknowledged write, the main included (S3)."""
    readers: frozenset[Instance] = frozenset()
    storage_uuid: str = ""
    """The first main's storage UUID, which every member takes over (S10)."""
    generation: int = 0
    registrations: tuple[Registration, ...] = ()
    change: Change | None = None
    epoch_pods: tuple[tuple[Instance, str], ...] = ()
    """Who was registered in the main's present epoch, and in which incarnation first: one that is
    another by now has restarted inside the epoch, whatever its present name (MEMGRAPH L4)."""
    durability: Durability = Durability.PREFERRED
    durability_setting: Durability = Durability.PREFERRED
    """What the settings said last; a person's change holds until they say something new."""
    refused: tuple[Refused, ...] = ()
    lagging: frozenset[Instance] = frozenset()
    """Eligible instances that are registered as ASYNC until they have caught up: a synchronous
    replica that still recovers makes the main refuse every write meanwhile."""
    is_main_drained: bool = True
    """Whether the last change of main was drained, so that no acknowledged write can be missing."""
    verdict: str = ""  # of the last change of main: may acknowledged writes be missing?
    owing: frozenset[Instance] = frozenset()
    """Who may hold an acknowledged write that the main lacks: not seen again since a change of main
    that was not drained. One that was joined, is read from or came back empty owes nothing."""
    pause: Pause | None = None
    is_observed: bool = False
    """Decisions are computed and recorded as what would have been done; nothing is done."""
    lost_at_s: int = 0
    """When the last main was lost, wall seconds: for the cooldown alone."""
    is_cooldown_lifted: bool = False
    answered: tuple[str, ...] = ()
    """The last requests that were answered."""
    noted: frozenset[str] = frozenset()  # refusals in the ledger since the last change of phase
    archived: Archived | None = None
    set_aside: tuple[SetAside, ...] = ()
    """The copies that finished resets have left, the oldest first; what is not in here stays on
    its volume until a person removes it."""

    @property
    def unproven_pods(self) -> tuple[tuple[Instance, str], ...]:
        """Of `epoch_pods`, the members of the sync set that a candidate gave a name to, and no
        marker went through since: what they were then has to be what they are (S10)."""
        joined = {r.instance for r in self.registrations if r.is_joined}
        return tuple(pod for pod in self.epoch_pods if pod[0] in self.sync - joined)

    @property
    def registered(self) -> frozenset[Instance]:
        """Who has got writes from the present main, or, while it changes, from the last one."""
        before = self.change.registered if self.change else frozenset[Instance]()
        named = {r.instance for r in self.registrations}
        return before | named | {instance for instance, _ in self.epoch_pods}

    def registration_of(self, instance: Instance) -> Registration | None:
        """The present registration of this replica, if there is one."""
        return next((r for r in self.registrations if r.instance == instance), None)

    def registration(self, name: str) -> Registration | None:
        """The present registration under this name, if there is one."""
        return next((r for r in self.registrations if r.name == name), None)

    def refusal_of(self, instance: Instance) -> Refused | None:
        """Why the main does not accept this instance's data, if so."""
        return next((r for r in self.refused if r.instance == instance), None)

    def copy_of(self, instance: Instance, token: int) -> SetAside | None:
        """The copy that this reset of the instance has left, if the ledger knows it."""
        found = (s for s in self.set_aside if (s.instance, s.token) == (instance, token))
        return next(found, None)

    @property
    def sync_replicas(self) -> frozenset[Instance]:
        """The sync set without the main."""
        return self.sync - {self.main} if self.main else self.sync
