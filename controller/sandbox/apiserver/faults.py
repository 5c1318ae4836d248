"""What goes wrong on purpose, for one client or for all.

Promise: a fault acts at a named point: before the request is executed (down, partition, freeze,
latency, fail), after it (lose_reply), or on established watches (cut, and the first three). Whoever
reads `as_json` sees every fault that is on.

What each means, because the difference matters to a ledger:
  down       the connection is closed at once; nothing is executed; watches are closed.
  partition  accepted, never executed, never answered; closed when the fault goes.
  freeze     accepted, answered by nobody until unfreeze, and **then executed**, late.
  lose_reply executed, then closed without an answer: the writer cannot know.

A client is the user name that its token belongs to.
"""

from __future__ import annotations

import enum

import attrs
import trio

from . import errors
from .errors import ApiError
from .kinds import Kind
from .objects import Object

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
EVERYBODY = ""


class Mode(enum.IntEnum):
    """How a client's connections behave; of two that apply the larger one holds."""

    OPEN = 0
    FROZEN = 1
    PARTITIONED = 2
    DOWN = 3


class HangUp(Exception):
    """Close this connection without (another) word."""


@attrs.frozen
class Call:
    """What a request asks for, in the words of RBAC. `kind` is None for /version and the like."""

    client: str
    verb: str
    kind: Kind | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@attrs.define(eq=False)
class Rule:
    """A fault that acts on matching calls, `count` times (None: until cleared).

    Args:
        what: "fail", "lose_reply" or "latency".
        client, verb, resource: Filters; "" matches everything.
        status: HTTP code of a "fail".
        retry_after_s: Retry-After of a "fail", whole seconds.
        latency_s: Delay of a "latency".
    """

    what: str
    client: str = EVERYBODY
    verb: str = ""
    resource: str = ""
    count: int | None = 1
    status: int = 500
    retry_after_s: int | None = None
    latency_s: float = 0.0

    def matches(self, call: Call) -> bool:
        """Say whether this rule is about such a call."""
        plural = call.kind.plural if call.kind else ""
        if self.what == "lose_reply" and not self.verb and call.verb not in WRITES:
            return False
        return (
            self.client in (EVERYBODY, call.client)
            and self.verb in ("", call.verb)
            and self.resource in ("", plural)
            and self.count != 0
        )

    def use(self) -> None:
        """Count one use."""
        if self.count is not None:
            self.count -= 1


class Faults:
    """All faults that are on. Owned by one server."""

    def __init__(self) -> None:
        self._modes: dict[str, Mode] = {}
        self._rules: list[Rule] = []
        self._watches: list[tuple[str, trio.CancelScope]] = []
        self._changed = trio.Event()

    # --- switching -----------------------------------------------------------------------

    def set_mode(self, mode: Mode, client: str = EVERYBODY) -> None:
        """Make this client (or everybody) behave so until set again."""
        before = {name: self.mode_of(name) for name, _ in self._watches}
        self._modes[client] = mode
        for name, scope in self._watches:
            was, now = before[name], self.mode_of(name)
            healed = was is Mode.PARTITIONED and now < Mode.PARTITIONED
            if now is Mode.DOWN or healed:
                scope.cancel()
        self._tell()

    def cut(self, client: str = EVERYBODY) -> int:
        """Close the established watches; return how many."""
        hit = [scope for name, scope in self._watches if client in (EVERYBODY, name)]
        for scope in hit:
            scope.cancel()
        return len(hit)

    def add(self, rule: Rule) -> None:
        """Switch a rule on."""
        self._rules.append(rule)

    def clear(self) -> None:
        """Switch everything off."""
        self._rules.clear()
        for client in list(self._modes):
            self.set_mode(Mode.OPEN, client)
        self._modes.clear()

    def mode_of(self, client: str) -> Mode:
        """Return what holds for this client now."""
        return max(self._modes.get(client, Mode.OPEN), self._modes.get(EVERYBODY, Mode.OPEN))

    def as_json(self) -> Object:
        """Return what is on, for people and for tests."""
        rules = [rule for rule in self._rules if rule.count != 0]
        return {
            "modes": {
                client or "*": mode.name.lower()
                for client, mode in self._modes.items()
                if mode is not Mode.OPEN
            },
            "rules": [attrs.asdict(rule) for rule in rules],
            "watches": [client for client, _ in self._watches],
        }

    # --- acting --------------------------------------------------------------------------

    async def wait_admitted(self, call: Call) -> None:
        """Return when the request may be executed.

        Raises:
            HangUp: It never will be; close.
            ApiError: It is refused by a rule.
        """
        await self.wait_flowing(call.client)
        for rule in self._matching("latency", call):
            rule.use()
            await trio.sleep(rule.latency_s)
        for rule in self._matching("fail", call)[:1]:
            rule.use()
            raise _failure(rule, call)

    async def wait_flowing(self, client: str) -> None:
        """Block while this client is frozen.

        Raises:
            HangUp: It is down, or a partition has just gone.
        """
        partitioned = False
        while (mode := self.mode_of(client)) is not Mode.OPEN:
            if mode is Mode.DOWN:
                raise HangUp
            partitioned = partitioned or mode is Mode.PARTITIONED
            await self._changed.wait()
        if partitioned:
            raise HangUp

    def check_reply(self, call: Call) -> None:
        """Return if the answer may be sent.

        Raises:
            HangUp: It is lost.
        """
        for rule in self._matching("lose_reply", call)[:1]:
            rule.use()
            raise HangUp

    def register_watch(self, client: str, scope: trio.CancelScope) -> None:
        """Let faults end this watch by cancelling its scope."""
        self._watches.append((client, scope))

    def forget_watch(self, scope: trio.CancelScope) -> None:
        """The watch has ended."""
        self._watches = [entry for entry in self._watches if entry[1] is not scope]

    def _matching(self, what: str, call: Call) -> list[Rule]:
        self._rules = [rule for rule in self._rules if rule.count != 0]
        return [rule for rule in self._rules if rule.what == what and rule.matches(call)]

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _failure(rule: Rule, call: Call) -> ApiError:
    """Return the refusal that a rule asks for, in the words of the real one where it has some."""
    kind, name = call.kind, call.name
    if rule.status == 401:
        return errors.unauthorized()
    if kind is not None and rule.status == 403:
        return errors.forbidden(
            kind.plural, kind.group, call.verb, call.client, call.namespace, name
        )
    if kind is not None and rule.status == 409:
        return kind.conflict(name, errors.MODIFIED_TEXT)
    reason = {
        429: "TooManyRequests",
        500: "InternalError",
        503: "ServiceUnavailable",
        504: "Timeout",
    }.get(rule.status, "Unknown")
    message = f"the sandbox was told to answer {rule.status}"
    return ApiError(rule.status, reason, message, retry_after_s=rule.retry_after_s)
