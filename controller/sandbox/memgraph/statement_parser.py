"""Administration statements: text to a value, with Memgraph's complaints.

Promise: `parse_statement` returns None for anything that should be tried as Cypher.
"""

from controller.sandbox.memgraph import failures
from controller.sandbox.memgraph.cypher.cursor import Cursor
from controller.sandbox.memgraph.cypher.parser import parse
from controller.sandbox.memgraph.failures import ClientFailure, TransientFailure
from controller.sandbox.memgraph.statements import (
    STORAGE_MODES,
    Control,
    CreateSnapshot,
    CreateTrigger,
    Drop,
    DropTrigger,
    Explain,
    Register,
    Schema,
    SetRole,
    SetStorageMode,
    Show,
    Statement,
    UserStatement,
)

DEFAULT_REPLICATION_PORT = 10000
PORT_MAX = 65535

_SHOWS = (
    "REPLICATION ROLE",
    "REPLICAS",
    "STORAGE INFO ON CURRENT DATABASE",
    "STORAGE INFO ON DATABASE MEMGRAPH",
    "STORAGE INFO",
    "VERSION",
    "CONFIG",
    "SNAPSHOTS",
    "INDEX INFO",
    "CONSTRAINT INFO",
    "TRIGGERS",
    "USERS",
    "TRANSACTIONS",
    "LICENSE INFO",
    "BUILD INFO",
    "DATABASES",
    "INSTANCES",
)


def parse_statement(text: str) -> Statement | None:
    """The administration statement of `text`, or None.

    Raises:
        ClientFailure: it begins like one and is wrong.
    """
    cursor = Cursor(text)
    word = cursor.token.word
    if word in ("BEGIN", "COMMIT", "ROLLBACK") and cursor.ahead(1).kind == "end":
        return Control(word)
    if cursor.take_words("SET", "REPLICATION", "ROLE", "TO"):
        return _set_role(cursor)
    if cursor.take_words("REGISTER", "REPLICA"):
        return _register(cursor)
    if cursor.take_words("DROP", "REPLICA"):
        name = cursor.expect_name()
        cursor.expect_end()
        return Drop(name)
    if cursor.take_words("SHOW"):
        return _show(cursor)
    if cursor.at_words("CREATE", "SNAPSHOT") and cursor.ahead(2).kind == "end":
        return CreateSnapshot()
    if word in ("CREATE", "DROP") and cursor.ahead(1).word in ("INDEX", "CONSTRAINT"):
        return _schema(cursor)
    if word in ("CREATE", "DROP") and cursor.ahead(1).word == "TRIGGER":
        return _trigger(cursor)
    if word in ("CREATE", "DROP") and cursor.ahead(1).word == "USER":
        return _user(cursor)
    if cursor.take_words("SET", "PASSWORD", "FOR"):
        name = cursor.expect_name()
        cursor.expect_word("TO")
        return UserStatement("SET", name, _password(cursor))
    if cursor.take_words("STORAGE", "MODE"):
        mode = cursor.next().word
        if mode not in STORAGE_MODES:
            raise failures.unknown_to_stand_in(f"the storage mode {mode}")
        cursor.expect_end()
        return SetStorageMode(mode)
    if cursor.take_words("EXPLAIN"):
        return Explain(parse(text[cursor.token.start :]))
    return None


def _set_role(cursor: Cursor) -> SetRole:
    to_main = cursor.take_words("MAIN")
    if not to_main:
        cursor.expect_word("REPLICA")
    if not cursor.take_words("WITH", "PORT"):
        cursor.expect_end()
        if not to_main:
            raise ClientFailure("Replica must set a port!")
        return SetRole(None)
    if to_main:
        raise ClientFailure("Main can't set a port!")
    token = cursor.next()
    if token.kind != "int":
        raise ClientFailure("Port must be an integer literal!")
    cursor.expect_end()
    if not 0 <= int(token.text) <= PORT_MAX:
        raise ClientFailure("Port number invalid!")
    return SetRole(int(token.text))


def _register(cursor: Cursor) -> Register:
    name = cursor.expect_name()
    mode = cursor.next().word
    if mode not in ("SYNC", "ASYNC", "STRICT_SYNC"):
        cursor.position -= 1
        raise cursor.unexpected("ASYNC, STRICT_SYNC, SYNC")
    cursor.expect_word("TO")
    if cursor.token.kind == "param":
        raise cursor.unexpected("a literal")
    token = cursor.next()
    if token.kind != "string":
        raise ClientFailure("Socket address should be a string literal!")
    cursor.expect_end()
    host, port = split_address(token.text)
    return Register(name, mode.lower(), host, port)


def split_address(text: str) -> tuple[str, int]:
    """Host and port; the port defaults to 10000 and is cut to 16 bits, as Memgraph does.

    Raises:
        ClientFailure: more than one colon. TransientFailure: the port is no number.
    """
    parts = text.split(":")
    if len(parts) > 2 or not parts[0]:
        raise ClientFailure(failures.BAD_ADDRESS)
    if len(parts) == 1:
        return parts[0], DEFAULT_REPLICATION_PORT
    if not parts[1].isdigit():
        raise TransientFailure("Couldn't parse string")
    return parts[0], int(parts[1]) & PORT_MAX


def _show(cursor: Cursor) -> Show:
    for what in _SHOWS:
        if cursor.take_words(*what.split()):
            cursor.expect_end()
            return Show(what)
    raise cursor.unexpected(", ".join(_SHOWS))


def _schema(cursor: Cursor) -> Schema:
    create = cursor.next().word == "CREATE"
    kind = cursor.next().word.lower()
    cursor.expect_word("ON")
    return _index(cursor, create) if kind == "index" else _constraint(cursor, create)


def _index(cursor: Cursor, create: bool) -> Schema:
    cursor.expect_op(":")
    label = cursor.expect_name()
    keys: list[str] = []
    if cursor.take_op("("):
        keys.append(cursor.expect_name())
        while cursor.take_op(","):
            keys.append(cursor.expect_name())
        cursor.expect_op(")")
    cursor.expect_end()
    return Schema("index", create, label, tuple(keys))


def _constraint(cursor: Cursor, create: bool) -> Schema:
    cursor.expect_op("(")
    variable = cursor.expect_name()
    cursor.expect_op(":")
    label = cursor.expect_name()
    cursor.expect_op(")")
    cursor.expect_word("ASSERT")
    if cursor.take_words("EXISTS"):
        return _existence(cursor, create, label, variable)
    keys: list[str] = []
    while True:
        if cursor.expect_name() != variable:
            raise cursor.unexpected(variable)
        cursor.expect_op(".")
        keys.append(cursor.expect_name())
        if not cursor.take_op(","):
            break
    if not cursor.take_words("IS", "UNIQUE"):
        raise failures.unknown_to_stand_in("constraints other than EXISTS and IS UNIQUE")
    cursor.expect_end()
    if len(set(keys)) < len(keys):
        raise ClientFailure("The given set of properties contains duplicates.")
    return Schema("constraint", create, label, tuple(keys))


def _existence(cursor: Cursor, create: bool, label: str, variable: str) -> Schema:
    cursor.expect_op("(")
    if cursor.expect_name() != variable:
        raise cursor.unexpected(variable)
    cursor.expect_op(".")
    key = cursor.expect_name()
    cursor.expect_op(")")
    cursor.expect_end()
    return Schema("existence", create, label, (key,))


def _trigger(cursor: Cursor) -> CreateTrigger | DropTrigger:
    create = cursor.next().word == "CREATE"
    cursor.expect_word("TRIGGER")
    name = cursor.expect_name()
    if not create:
        cursor.expect_end()
        return DropTrigger(name)
    event = _event(cursor) if cursor.take_words("ON") else "ANY"
    phase = cursor.next().word
    if phase not in ("BEFORE", "AFTER"):
        cursor.position -= 1
        raise cursor.unexpected("AFTER, BEFORE")
    cursor.expect_word("COMMIT")
    cursor.expect_word("EXECUTE")
    statement = cursor.query[cursor.token.start :].strip().rstrip(";")
    return CreateTrigger(name, event, phase, statement)


def _event(cursor: Cursor) -> str:
    what = ""
    if cursor.take_op("("):
        cursor.expect_op(")")
        what = "() "
    elif cursor.take_op("-"):
        cursor.expect_op("-")
        cursor.expect_op(">")
        what = "--> "
    word = cursor.next().word
    if word not in ("CREATE", "DELETE", "UPDATE") or (what and word == "UPDATE"):
        raise failures.unknown_to_stand_in(f"the trigger event '{what}{word}'")
    return what + word


def _user(cursor: Cursor) -> UserStatement:
    verb = cursor.next().word
    cursor.expect_word("USER")
    lenient = verb == "CREATE" and cursor.take_words("IF", "NOT", "EXISTS")
    name = cursor.expect_name()
    if verb == "CREATE" and cursor.take_words("IDENTIFIED", "BY"):
        return UserStatement(verb, name, _password(cursor), lenient)
    cursor.expect_end()
    return UserStatement(verb, name, None, lenient)


def _password(cursor: Cursor) -> str | None:
    if cursor.take_words("NULL"):
        cursor.expect_end()
        return None
    if cursor.token.kind != "string":
        raise cursor.unexpected("a literal")
    text = cursor.next().text
    cursor.expect_end()
    return text
