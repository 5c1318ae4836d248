"""Who is speaking: what HELLO, INIT and LOGON must say, and whether that user is let in.

Promise: without a user in the environment anything is accepted (MEMGRAPH 5); with one, only its
password is. What the real server answers by closing raises `ProtocolBroken` here.
"""

import hmac
from typing import Any

import attrs

from controller.sandbox.memgraph.bolt.framing import Version
from controller.sandbox.memgraph.bolt.messages import map_at
from controller.sandbox.memgraph.bolt.rules import V4
from controller.sandbox.memgraph.failures import ProtocolBroken

CONNECTION_ID = "bolt-1"  # the real server tells every client the same one


@attrs.frozen
class Credentials:
    """The only user, or none: then anything is accepted."""

    user: str | None
    password: str

    def accept(self, given: dict[str, Any]) -> bool:
        """True when the client may go on.

        Raises:
            ProtocolBroken: an unknown scheme, or values that are no texts.
        """
        scheme = given.get("scheme", "none")
        if scheme == "basic":
            # Drivers leave an empty password out, and the running 3.6.1 let them in.
            names = ("principal", "credentials")
            if not all(isinstance(given.get(name, ""), str) for name in names):
                raise ProtocolBroken("user and password must be texts")
        elif scheme != "none":
            raise ProtocolBroken(f"unknown authentication scheme {scheme!r}")
        if self.user is None:
            return True
        pair = f"{given.get('principal')}\0{given.get('credentials')}"
        return hmac.compare_digest(_comparable(pair), _comparable(f"{self.user}\0{self.password}"))


def _comparable(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def hello_of(version: Version, fields: tuple[Any, ...]) -> dict[str, Any]:
    """The map of the first message: 1.0 names its client beside it, later ones inside.

    Raises:
        ProtocolBroken: the client's name is missing.
    """
    if version < V4:
        if not fields or not isinstance(fields[0], str):
            raise ProtocolBroken("INIT without a client's name")
        return map_at(fields, 1)
    given = map_at(fields, 0)
    if "user_agent" not in given:
        raise ProtocolBroken("HELLO without user_agent")
    return given
