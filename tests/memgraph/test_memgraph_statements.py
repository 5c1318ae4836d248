"""Scenario 13: nothing from outside reaches a statement unless it is what it claims to be."""

import pytest

from controller.memgraph import statements
from statemachine.ids import Mode, Role


def test_texts_are_memgraphs_own() -> None:
    """The texts are those that Memgraph's grammar takes (MEMGRAPH 1.1)."""
    assert statements.become(Role.MAIN, 10000) == "SET REPLICATION ROLE TO MAIN"
    assert statements.become(Role.REPLICA, 10000) == (
        "SET REPLICATION ROLE TO REPLICA WITH PORT 10000"
    )
    assert statements.register("memgraph_1_g42", Mode.STRICT_SYNC, "m-1.svc:10000") == (
        'REGISTER REPLICA `memgraph_1_g42` STRICT_SYNC TO "m-1.svc:10000"'
    )
    assert statements.register("a", Mode.ASYNC, "10.0.0.1:10000").split()[3] == "ASYNC"
    assert statements.register("a", Mode.SYNC, "10.0.0.1:10000").split()[3] == "SYNC"
    assert statements.drop("r-s.1") == "DROP REPLICA `r-s.1`"


@pytest.mark.parametrize(
    "name", ["", "a`", "a b", "a;DROP", "1a", "a\n", "ä", "a`;MATCH (n) DELETE n", "x" * 200]
)
def test_name_that_is_none_is_refused(name: str) -> None:
    """A name with any other character is refused before a text exists."""
    with pytest.raises(statements.BadStatement):
        statements.drop(name)
    with pytest.raises(statements.BadStatement):
        statements.register(name, Mode.ASYNC, "10.0.0.1:10000")


@pytest.mark.parametrize(
    "address",
    ["", ":10000", "host", "host:", "host:0", "host:65536", "host:1x", "host:10000\n", 'h":1',
     "h h:1", "::1:10000", "a:b:1", "-h:1", 'h:1" ; DROP'],
)  # fmt: skip
def test_address_that_is_none_is_refused(address: str) -> None:
    """Only host:port with a port in range: Memgraph would cut a larger one to 16 bits."""
    with pytest.raises(statements.BadStatement):
        statements.register("a", Mode.ASYNC, address)


def test_role_mode_and_port_that_cannot_be_set_are_refused() -> None:
    """UNKNOWN is an observation, never an order; the port must exist."""
    with pytest.raises(statements.BadStatement):
        statements.become(Role.UNKNOWN, 10000)
    with pytest.raises(statements.BadStatement):
        statements.become(Role.REPLICA, 0)
    with pytest.raises(statements.BadStatement):
        statements.register("a", Mode.UNKNOWN, "10.0.0.1:10000")
