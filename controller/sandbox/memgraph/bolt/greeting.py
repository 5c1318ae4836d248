"""Who is speaking: what HELLO, INIT and LOGON must say.

Promise: what the real server answers by closing raises `ProtocolBroken` here. Whether a user is let
in is decided by `users`.
"""

from typing import Any

from controller.sandbox.memgraph.bolt.framing import Version
from controller.sandbox.memgraph.bolt.messages import map_at
from controller.sandbox.memgraph.bolt.rules import V4
from controller.sandbox.memgraph.failures import ProtocolBroken

CONNECTION_ID = "bolt-1"  # the real server tells every client the same one


def credentials_of(given: dict[str, Any]) -> tuple[str, str]:
    """User and password of a greeting; empty when it names none.

    Raises:
        ProtocolBroken: an unknown scheme, or values that are no texts.
    """
    scheme = given.get("scheme", "none")
    if scheme == "none":
        return "", ""
    if scheme != "basic":
        raise ProtocolBroken(f"unknown authentication scheme {scheme!r}")
    # Drivers leave an empty password out, and the running 3.6.1 let them in.
    user, password = given.get("principal", ""), given.get("credentials", "")
    if not isinstance(user, str) or not isinstance(password, str):
        raise ProtocolBroken("user and password must be texts")
    return user, password


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
