"""The words of the conversation: tags, states, and how a message is put together."""

import hmac
from enum import Enum, auto
from typing import Any

import attrs

from controller.sandbox.memgraph.bolt.framing import chunked
from controller.sandbox.memgraph.bolt.packstream import Structure, pack
from controller.sandbox.memgraph.failures import ProtocolBroken

SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7E, 0x7F
HELLO, GOODBYE, RESET, RUN, DISCARD, PULL = 0x01, 0x02, 0x0F, 0x10, 0x2F, 0x3F
BEGIN, COMMIT, ROLLBACK, ROUTE, LOGON, LOGOFF = 0x11, 0x12, 0x13, 0x66, 0x6A, 0x6B


class State(Enum):
    """Where the conversation stands."""

    HELLO = auto()
    LOGON = auto()
    IDLE = auto()
    RESULT = auto()
    ERROR = auto()


@attrs.frozen
class Credentials:
    """The only user, or none: then anything is accepted."""

    user: str | None
    password: str

    def accept(self, given: dict[str, Any]) -> bool:
        if self.user is None:
            return True
        pair = f"{given.get('principal')}\0{given.get('credentials')}"
        return hmac.compare_digest(pair.encode(), f"{self.user}\0{self.password}".encode())


def message_bytes(tag: int, *fields: Any) -> bytes:
    return chunked(pack(Structure(tag, fields)))


def map_at(fields: tuple[Any, ...], at: int) -> dict[str, Any]:
    value = fields[at] if len(fields) > at else {}
    if not isinstance(value, dict):
        raise ProtocolBroken("a map was expected")
    return value
