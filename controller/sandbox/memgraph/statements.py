"""Administration statements as values.

Promise: each is complete and legal, so that whoever gets one only has to do it; `statement_parser`
makes them from text.
"""

import attrs

from controller.sandbox.memgraph.cypher.syntax import Query

STORAGE_MODES = ("IN_MEMORY_TRANSACTIONAL", "IN_MEMORY_ANALYTICAL")


@attrs.frozen
class SetRole:
    """SET REPLICATION ROLE; `port` is None for MAIN."""

    port: int | None


@attrs.frozen
class Register:
    name: str
    mode: str
    host: str
    port: int


@attrs.frozen
class Drop:
    name: str


@attrs.frozen
class Show:
    """A SHOW query, by its normal name, such as "REPLICATION ROLE"."""

    what: str


@attrs.frozen
class CreateSnapshot:
    pass


@attrs.frozen
class Schema:
    """CREATE or DROP of an index or a constraint."""

    kind: str  # index, constraint (unique), existence
    create: bool
    label: str
    keys: tuple[str, ...]


@attrs.frozen
class CreateTrigger:
    """CREATE TRIGGER.

    Attributes:
        event: as SHOW TRIGGERS names it, such as "() CREATE" or "ANY".
        phase: BEFORE or AFTER the commit.
    """

    name: str
    event: str
    phase: str
    statement: str


@attrs.frozen
class DropTrigger:
    name: str


@attrs.frozen
class UserStatement:
    """CREATE USER, DROP USER, SET PASSWORD.

    Attributes:
        verb: CREATE, DROP or SET.
        lenient: IF NOT EXISTS.
    """

    verb: str
    name: str
    password: str | None = None
    lenient: bool = False


@attrs.frozen
class SetStorageMode:
    mode: str


@attrs.frozen
class Explain:
    query: Query


@attrs.frozen
class Control:
    """BEGIN, COMMIT, ROLLBACK as text, as pymgclient sends them."""

    word: str


Statement = (
    SetRole
    | Register
    | Drop
    | Show
    | CreateSnapshot
    | Schema
    | CreateTrigger
    | DropTrigger
    | UserStatement
    | SetStorageMode
    | Explain
    | Control
)
System = SetRole | Register | Drop
