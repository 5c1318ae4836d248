"""What may be said where, in each version of the protocol.

Promise: `is_legal` is the whole table: a message it does not name ends the conversation (MEMGRAPH
5). The number of fields counts too: the real server compares it before it reads them.
"""

from enum import Enum, auto

import attrs

from controller.sandbox.memgraph.bolt.framing import Version

SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7E, 0x7F
HELLO, GOODBYE, ACK_FAILURE, RESET = 0x01, 0x02, 0x0E, 0x0F
RUN, DISCARD, PULL = 0x10, 0x2F, 0x3F
BEGIN, COMMIT, ROLLBACK, ROUTE, LOGON, LOGOFF = 0x11, 0x12, 0x13, 0x66, 0x6A, 0x6B

V1, V4, V4_3, V5 = (1, 0), (4, 0), (4, 3), (5, 0)


class State(Enum):
    """Where the conversation stands."""

    HELLO = auto()
    LOGON = auto()
    IDLE = auto()
    RESULT = auto()
    ERROR = auto()


@attrs.frozen
class Rule:
    """One legal message: from which version on, before which, and with how many fields."""

    fields: int | None  # None: any number, as the real server is lenient here
    since: Version = V1
    before: Version = (99, 0)

    def holds(self, version: Version, fields: int) -> bool:
        return self.since <= version < self.before and self.fields in (None, fields)


_IN_ANY_QUERY_STATE = (Rule(0),)
_FETCH = (Rule(0, before=V4), Rule(1, since=V4))
TABLE: dict[State, dict[int, tuple[Rule, ...]]] = {
    State.HELLO: {HELLO: (Rule(None),)},
    State.LOGON: {LOGON: (Rule(1, since=V5),)},
    State.IDLE: {
        RUN: (Rule(2, before=V4), Rule(3, since=V4)),
        BEGIN: (Rule(1, since=V4),),
        COMMIT: (Rule(0, since=V4),),
        ROLLBACK: (Rule(0, since=V4),),
        ROUTE: (Rule(3, since=V4_3),),
        LOGOFF: (Rule(0, since=V5),),
        RESET: _IN_ANY_QUERY_STATE,
    },
    State.RESULT: {PULL: _FETCH, DISCARD: _FETCH, RESET: _IN_ANY_QUERY_STATE},
    State.ERROR: {RESET: _IN_ANY_QUERY_STATE, ACK_FAILURE: (Rule(0, before=V4),)},
}
"""In ERROR every other message is not illegal but IGNORED; GOODBYE ends any conversation."""


def is_legal(version: Version, state: State, tag: int, fields: int) -> bool:
    """True when this message with so many fields may be handled now."""
    return any(rule.holds(version, fields) for rule in TABLE[state].get(tag, ()))
