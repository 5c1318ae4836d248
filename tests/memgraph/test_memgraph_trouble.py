"""The table of foreign errors: who refused, who stayed silent, who answered."""

import errno

import pytest
from neo4j.exceptions import AuthError, ClientError, ServiceUnavailable, SessionExpired

from controller.errors import MemgraphAuthFailed, MemgraphRefused, MemgraphUnreachable
from controller.memgraph.trouble import foreign_errors, translated


def caused(error: Exception, cause: BaseException) -> Exception:
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def from_server(code: str, message: str) -> ClientError:
    """A FAILURE as the driver hands it over; it has no public constructor for one."""
    answered = {"code": property(lambda _: code), "message": property(lambda _: message)}
    error: ClientError = type("FromServer", (ClientError,), answered)()
    return error


@pytest.mark.parametrize(
    ("cause", "refused"),
    [
        (OSError(errno.ECONNREFUSED, "refused"), True),
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (BrokenPipeError(errno.EPIPE, "pipe"), True),
        (OSError(errno.EHOSTUNREACH, "no route"), False),
        (TimeoutError(), False),
        (EOFError(), False),
    ],
)
def test_refusal_is_found_at_the_end_of_the_chain(cause: BaseException, refused: bool) -> None:
    """Only refused and reset prove that nobody listens; no route and silence do not."""
    error = caused(ServiceUnavailable("a"), caused(SessionExpired("b"), cause))
    ours = translated(error, "SHOW REPLICAS", "10.0.0.1:7687")
    assert isinstance(ours, MemgraphUnreachable)
    assert ours.refused is refused
    assert "10.0.0.1:7687" in str(ours)


def test_wrong_password_is_known_by_its_code() -> None:
    """Memgraph's own code and the driver's own class both mean a wrong password."""
    for code in (
        "Memgraph.ClientError.Security.Unauthenticated",
        "Neo.ClientError.Security.Unauthorized",
    ):
        error = from_server(code, "Authentication failure")
        ours = translated(error, "the login", "10.0.0.1:7687")
        assert isinstance(ours, MemgraphAuthFailed)
    assert issubclass(AuthError, foreign_errors())


def test_refusal_of_memgraph_keeps_its_words() -> None:
    """Statement, code and text of a refusal are Memgraph's own."""
    code = "Memgraph.TransientError.MemgraphError.MemgraphError"
    error = from_server(code, "Couldn't set role to replica!\n")
    ours = translated(error, "SET ...", "10.0.0.1:7687")
    assert isinstance(ours, MemgraphRefused)
    assert (ours.statement, ours.code) == ("SET ...", code)
    assert ours.message == "Couldn't set role to replica!"
