"""What the gateway raises. A refused client or a lost session is never one of these: those are
counted outcomes, not exceptions."""


class GatewayError(Exception):
    """Base of everything that this package raises on purpose."""


class StaleRoute(GatewayError):
    """A route of an older term was applied. Nothing changed; the caller drops that route."""


class IllegalMove(GatewayError):
    """A session made a move that the table does not have: a bug of ours, never caught."""


class Malformed(GatewayError):
    """Bytes that are no message of the protocol. The caller ends whoever sent them."""
