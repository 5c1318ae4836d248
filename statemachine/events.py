"""Past-tense entries of the ledger: what was decided, with the facts that the guards saw.

A payload is what `evolve` needs; `facts` and `why` are for people. Adding a payload means adding
its rows to `rules.RULES`; the row walk tells what is missing.
"""

import re

from attrs import field, fields, frozen

from statemachine.asked import (
    CooldownLifted,
    FailoverForced,
    ObservingChanged,
    Paused,
    RequestRefused,
    Resumed,
    WouldHave,
)
from statemachine.cluster import Registration
from statemachine.ids import Durability, Instance, Mode, Phase

__all__ = [
    "BY_TRIGGER",
    "PAYLOADS",
    "BootstrapRefused",
    "CandidateLost",
    "ClusterAdopted",
    "CooldownLifted",
    "CopyReleased",
    "DecisionRefused",
    "DrainAbandoned",
    "Drained",
    "Event",
    "FailoverForced",
    "InstanceRefused",
    "LeaderElected",
    "LedgerArchived",
    "MainAppointed",
    "MainFenced",
    "MainLost",
    "MainPromoted",
    "MainReturned",
    "ObservingChanged",
    "Paused",
    "Payload",
    "PolicyChanged",
    "ReadersChanged",
    "RegistrationOpened",
    "RegistrationRetired",
    "RenewalStarted",
    "RequestRefused",
    "ResetCancelled",
    "ResetDone",
    "ResetOrdered",
    "Resumed",
    "SwitchoverStarted",
    "SyncJoined",
    "SyncLost",
    "WouldHave",
    "payload_fields",
    "trigger_of",
]


@frozen
class LeaderElected:
    """Barrier: term + 1; nothing else is decided or commanded in a reign before it."""

    leader: str


@frozen
class MainAppointed:
    """Fresh start over proven emptiness: `main` will be promoted."""

    main: Instance
    storage_uuid: str


@frozen
class ClusterAdopted:
    """One main that the others follow was found and kept; no role command is sent. `generation`:
    the highest in the names of its rows, which a ledger that is lost has given them (S8)."""

    main: Instance
    storage_uuid: str
    registrations: tuple[Registration, ...]
    generation: int = 0


@frozen
class BootstrapRefused:
    """The instances are ambiguous; nothing is touched until a person acts."""

    reason: str


@frozen
class RegistrationOpened:
    """From now on the main owes this name to the replica. Precedes REGISTER. `pod`, `main_pod`: the
    incarnations of the replica and of the main then."""

    name: str
    instance: Instance
    mode: Mode
    address: str
    pod: str
    main_pod: str = ""


@frozen
class RegistrationRetired:
    """The name is never used again. Precedes its DROP."""

    name: str
    instance: Instance
    reason: str


@frozen
class SyncJoined:
    """The replica holds every acknowledged write: a marker went through while it was registered
    under `name` in its present incarnation."""

    instance: Instance
    name: str


@frozen
class SyncLost:
    """The replica is no longer required to hold every acknowledged write. Precedes any DROP."""

    instance: Instance
    name: str


@frozen
class MainLost:
    """The main is gone (or is no longer what it was). `candidate` None: no safe one; RW closes.
    `was_silent`: it may have gone on for a while, cut off from us, as a dead one cannot.
    `was_behind`: its replicas were not seen to hold everything right before."""

    candidate: Instance | None
    cause: str
    was_silent: bool
    at_s: int = 0  # wall seconds since the epoch
    was_behind: bool = False


@frozen
class RenewalStarted:
    """The present main gets a new epoch in place: cut, demote, promote the same, register anew.
    `needs_drain`: the marker has to go through first, for the sync set stays what it is.
    `lagging`: who is registered as ASYNC afterwards, until it has caught up."""

    cause: str
    needs_drain: bool
    lagging: frozenset[Instance]


@frozen
class SwitchoverStarted:
    """A planned change of main: clients wait, gateways cut, the marker goes through, the old main
    is demoted *first*, the candidate promoted."""

    candidate: Instance
    cause: str
    request: str = ""


@frozen
class Drained:
    """Every gateway has cut and the marker went through the old main afterwards."""


@frozen
class DrainAbandoned:
    """The marker did not go through in time: the change goes on as an unplanned one would, for a
    main that may not write is worse than a replica that has to join again."""

    cause: str


@frozen
class MainFenced:
    """No client can get an acknowledgement from an older main any more; `proof` says why.
    `was_behind`: as in MainLost, of a main that died in a planned change."""

    proof: str
    was_behind: bool = False


@frozen
class CandidateLost:
    """The candidate died before it was promoted; another member of the sync set, in a new term, or
    nobody (None): then RW stays closed until one of them is back."""

    candidate: Instance | None
    cause: str


@frozen
class MainPromoted:
    """Role read back as MAIN and epoch pinned. `sync` are the replicas whose new row carried the
    marker already; `verdict` says whether acknowledged writes may be missing (S13)."""

    main: Instance
    sync: frozenset[Instance]
    verdict: str


@frozen
class MainReturned:
    """The appointed main answers again as MAIN after an outage without a candidate."""

    main: Instance


@frozen
class ReadersChanged:
    """The replicas that the read-only gateways may use."""

    readers: frozenset[Instance]


@frozen
class InstanceRefused:
    """The main of this term does not accept the instance's data."""

    instance: Instance
    name: str
    text: str


@frozen
class ResetOrdered:
    """The instance's data are to be set aside and rebuilt from the main (S12). The token is this
    event's seq; it is void in any other term."""

    instance: Instance
    request: str = ""


@frozen
class ResetCancelled:
    """The order is void; its token is withdrawn."""

    instance: Instance
    reason: str


@frozen
class ResetDone:
    """The instance came back empty; what it held is set aside since then."""

    instance: Instance
    at_s: int = 0  # wall seconds since the epoch; 0: an entry from before copies had an end


@frozen
class CopyReleased:
    """The copy that this reset has left may be removed at the instance's next start (S12)."""

    instance: Instance
    token: int


@frozen
class PolicyChanged:
    """The durability in force, from the settings or from a person (`request`)."""

    durability: Durability
    request: str = ""


@frozen
class DecisionRefused:
    """A decision was wanted and a guard said no; kept once per distinct refusal."""

    trigger: str
    candidate: str
    guard: str


@frozen
class LedgerArchived:
    """The entries up to `upto` stand in the immutable archive `archive`; from here on the live part
    begins with the snapshot whose hash this is. `retired`: archives that are given up by the
    settings, so that nobody takes them for lost."""

    archive: int
    upto: int
    snapshot: str
    retired: tuple[int, ...] = ()


Payload = (
    LeaderElected
    | MainAppointed
    | ClusterAdopted
    | BootstrapRefused
    | RegistrationOpened
    | RegistrationRetired
    | SyncJoined
    | SyncLost
    | MainLost
    | RenewalStarted
    | SwitchoverStarted
    | FailoverForced
    | Paused
    | Resumed
    | ObservingChanged
    | CooldownLifted
    | RequestRefused
    | WouldHave
    | Drained
    | DrainAbandoned
    | MainFenced
    | CandidateLost
    | MainPromoted
    | MainReturned
    | ReadersChanged
    | InstanceRefused
    | ResetOrdered
    | ResetCancelled
    | ResetDone
    | CopyReleased
    | PolicyChanged
    | DecisionRefused
    | LedgerArchived
)

PAYLOADS: tuple[type[Payload], ...] = Payload.__args__


def trigger_of(payload: Payload | type[Payload]) -> str:
    """The name under which the rule table and the ledger know a payload: `main_lost`."""
    name = payload.__name__ if isinstance(payload, type) else type(payload).__name__
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


BY_TRIGGER: dict[str, type[Payload]] = {trigger_of(p): p for p in PAYLOADS}


@frozen
class Event:
    """A decision that every guard agreed to: what `evolve` folds."""

    payload: Payload
    source: Phase
    dest: Phase
    why: str
    facts: tuple[tuple[str, str], ...] = field(default=(), hash=False)

    @property
    def trigger(self) -> str:
        """Name of the rule's trigger."""
        return trigger_of(self.payload)


def payload_fields(payload: Payload | type[Payload]) -> tuple[str, ...]:
    """Names of a payload's fields in reading order."""
    kind = payload if isinstance(payload, type) else type(payload)
    return tuple(f.name for f in fields(kind))
