"""Payloads of events that people cause, and of what is only recorded for them. Import them from
`statemachine.events`, as all others."""

from attrs import frozen

from statemachine.ids import Instance


@frozen
class FailoverForced:
    """A person named the new main and accepted that writes may be missing on it (S13).
    `storage_uuid`: the cluster's, or the candidate's own where there was no cluster yet."""

    candidate: Instance
    storage_uuid: str
    cause: str
    verdict: str
    request: str


@frozen
class Paused:
    """Gateways keep their route, nothing is decided, until `until_s` (wall seconds)."""

    author: str
    reason: str
    until_s: int
    request: str


@frozen
class Resumed:
    """Decisions are made again."""

    cause: str
    request: str = ""


@frozen
class ObservingChanged:
    """From now on decisions are only recorded (`is_on`), or carried out again."""

    is_on: bool
    request: str


@frozen
class CooldownLifted:
    """A person has looked at the last failover: the next may be automatic again."""

    request: str


@frozen
class RequestRefused:
    """A person's request was not granted."""

    request: str
    kind: str
    author: str
    reason: str


@frozen
class WouldHave:
    """What would have been decided, were it not only observed."""

    trigger: str
    candidate: str
