"""REGISTER and DROP REPLICA: grammar, errors by number, and the rows that failures leave."""

import pytest
from contract_world import CLIENT, TRANSIENT, World
from fact_marks import seen, unseen
from texts import BAD_ADDRESS, not_replicated, register_failed

pytestmark = pytest.mark.process

BOTH = ("3.6.1", "3.12.0")


@seen("1.3", releases=BOTH)
async def test_show_replicas_in_every_mode(world: World) -> None:
    """Five columns in this order; rows in the order of registering; no system_info without a
    licence; data_info under the only key `memgraph`, `behind` and `ts` from the main's view."""
    main, s, ss, a = await world.start("main", "s", "ss", "a")
    for name, mode, replica in (("r_s", "SYNC", s), ("r_ss", "STRICT_SYNC", ss), ("a", "ASYNC", a)):
        await replica.demote()
        assert (await main.ask(f'REGISTER REPLICA {name} {mode} TO "{replica.address}"')).keys == []
    answer = await main.ask("SHOW REPLICAS")
    assert answer.keys == ["name", "socket_address", "sync_mode", "system_info", "data_info"]
    fresh = {"memgraph": {"behind": 0, "status": "ready", "ts": 0}}
    assert answer.rows == [
        ("r_s", s.address, "sync", None, fresh),
        ("r_ss", ss.address, "strict_sync", None, fresh),
        ("a", a.address, "async", None, fresh),
    ]


@seen("L13", releases=BOTH)
@pytest.mark.parametrize("mode", ["SYNC", "STRICT_SYNC", "ASYNC"])
async def test_a_failed_register_leaves_a_row_without_effect(world: World, mode: str) -> None:
    """Nobody at the address: Error 5 at once, and a row with empty data_info that takes no part in
    commits; the name again is Error 1, the address again Error 2; DROP removes it."""
    main = (await world.start("main"))[0]
    nobody = world.server("nobody").address
    register = f'REGISTER REPLICA z {mode} TO "{nobody}"'
    refused = await main.refusal(register)
    assert (refused.code, refused.message) == (CLIENT, register_failed("z", 5))
    row: tuple[object, ...] = ("z", nobody, mode.lower(), None, {})
    assert (await main.ask("SHOW REPLICAS")).rows == [row]
    await main.write()
    assert (await main.ask("SHOW REPLICAS")).rows == [row]
    assert (await main.refusal(register)).message == register_failed("z", 1)
    other = f'REGISTER REPLICA y {mode} TO "{nobody}"'
    assert (await main.refusal(other)).message == register_failed("y", 2)
    assert (await main.ask("DROP REPLICA z")).keys == []
    assert (await main.ask("SHOW REPLICAS")).rows == []


@seen("L13", releases=BOTH)
async def test_a_restart_brings_such_a_row_to_life(world: World) -> None:
    """After a restart of the main, the row of a failed REGISTER SYNC is `invalid` and each write
    fails after committing; DROP ends that."""
    await comes_to_life(world, "SYNC")


@unseen("1.6", releases=BOTH)
async def test_a_restart_brings_such_a_strict_row_to_life(world: World) -> None:
    """The row of a failed REGISTER STRICT_SYNC aborts each write after a restart of the main."""
    await comes_to_life(world, "STRICT_SYNC")


async def comes_to_life(world: World, mode: str) -> None:
    """A failed REGISTER, a restart, and a write."""
    main = (await world.start("main"))[0]
    await main.refusal(f'REGISTER REPLICA z {mode} TO "{world.server("nobody").address}"')
    await main.write(2)
    await main.kill()
    await main.start()
    state = await main.replica("z")
    assert (state["status"], state["ts"], state["behind"] < 0) == ("invalid", 0, True)
    refused = await main.refusal("CREATE (:Z)")
    code, text = not_replicated(await main.release(), mode, ["z"])
    assert (refused.code, refused.message) == (code, text)
    assert await main.count() == (3 if mode == "SYNC" else 2)
    await main.drop("z")
    await main.write()


@seen("2.3")
async def test_what_register_refuses(world: World) -> None:
    """Error 5 for a name that does not resolve, for an instance that is main, and for oneself; the
    default port is 10000; an unknown name cannot be dropped."""
    main, other = await world.start("main", "other")
    cases = {
        "REGISTER REPLICA x SYNC TO 'not_resolvable_host:11001'": (
            "x",
            "not_resolvable_host:11001",
        ),
        f"REGISTER REPLICA x SYNC TO '{other.host}'": ("x", f"{other.host}:10000"),
        f"REGISTER REPLICA x SYNC TO '{other.address}'": ("x", other.address),
        f"REGISTER REPLICA selfm SYNC TO '{main.host}:7687'": ("selfm", f"{main.host}:7687"),
    }
    for statement, (name, address) in cases.items():
        refused = await main.refusal(statement)
        assert (refused.code, refused.message) == (CLIENT, register_failed(name, 5)), statement
        row: tuple[object, ...] = (name, address, "sync", None, {})
        assert (await main.ask("SHOW REPLICAS")).rows == [row]
        await main.drop(name)
    refused = await main.refusal("DROP REPLICA nosuch")
    text = "Failed to unregister the replica nosuch."
    assert (refused.code, refused.message) == (CLIENT, text)


@seen("1.1")
async def test_names_in_back_ticks(world: World) -> None:
    """A name with dashes and dots is written in back-ticks and shown without them."""
    main, replica = await world.start("main", "replica")
    await replica.demote()
    await main.register("`r-s.1`", "SYNC", replica)
    assert (await main.ask("SHOW REPLICAS")).rows[0][0] == "r-s.1"
    assert (await main.replica("r-s.1"))["status"] == "ready"
    await main.drop("`r-s.1`")


@seen("1.1")
async def test_no_parameters_in_replication_statements(world: World) -> None:
    """An address as a parameter is a syntax error: the text must be built."""
    (main,) = await world.start("main")
    refused = await main.refusal("REGISTER REPLICA r SYNC TO $x", x="127.0.0.1:11001")
    assert refused.code == CLIENT
    assert "parsing error" in refused.message


@seen("1.1")
async def test_ports_of_set_role(world: World) -> None:
    """A REPLICA needs a port, within 0..65535."""
    (one,) = await world.start("one")
    head = "SET REPLICATION ROLE TO "
    cases = {
        "REPLICA": "Replica must set a port!",
        "REPLICA WITH PORT 70000": "Port number invalid!",
    }
    for tail, text in cases.items():
        refused = await one.refusal(head + tail)
        assert (refused.code, refused.message) == (CLIENT, text), tail
    assert await one.role() == "main"


@unseen("1.1")
async def test_further_grammar(world: World) -> None:
    """A MAIN has no port; ports are integers, addresses strings with one colon; what is no number
    behind it is a TransientError; keywords in any case, a semicolon at the end."""
    (one,) = await world.start("one")
    cases = {
        "SET REPLICATION ROLE TO MAIN WITH PORT 10000": (CLIENT, "Main can't set a port!"),
        "SET REPLICATION ROLE TO REPLICA WITH PORT 'a'": (
            CLIENT,
            "Port must be an integer literal!",
        ),
        "REGISTER REPLICA r SYNC TO 5": (CLIENT, "Socket address should be a string literal!"),
        "REGISTER REPLICA r SYNC TO '::1:10000'": (CLIENT, BAD_ADDRESS),
        "REGISTER REPLICA r SYNC TO '127.0.0.1:x'": (TRANSIENT, "Couldn't parse string"),
    }
    for statement, (code, text) in cases.items():
        refused = await one.refusal(statement)
        assert (refused.code, refused.message) == (code, text), statement
    assert (await one.ask("show Replication rolE ;")).rows == [("main",)]
    assert (await one.ask("SHOW REPLICAS;")).rows == []


@unseen("1.1")
async def test_a_port_above_16_bits_is_cut(world: World) -> None:
    """65536 + p as a port means p."""
    main, replica = await world.start("main", "replica")
    await replica.demote()
    where = f"{replica.host}:{65536 + replica.replication_port}"
    await main.ask(f'REGISTER REPLICA r SYNC TO "{where}"')
    assert (await main.replica("r"))["status"] == "ready"


@unseen("1.1")
async def test_notifications(world: World) -> None:
    """Success is told in the summary's notifications."""
    main, replica = await world.start("main", "replica")
    become = f"SET REPLICATION ROLE TO REPLICA WITH PORT {replica.replication_port}"
    register = f'REGISTER REPLICA r SYNC TO "{replica.address}"'
    steps = (
        (replica, become, "SetReplica", "Replica role set to REPLICA."),
        (main, register, "RegisterReplica", "Replica r is registered."),
        (main, "DROP REPLICA r", "DropReplica", "Replica r is dropped."),
        (replica, "SET REPLICATION ROLE TO MAIN", "SetReplica", "Replica role set to MAIN."),
    )
    for server, statement, code, title in steps:
        (note,) = (await server.ask(statement)).summary["notifications"]
        expected = {"severity": "INFO", "code": code, "title": title, "description": ""}
        assert dict(note) == expected


@unseen("1.1")
async def test_the_usual_bolt_port_for_replication_is_warned_about(world: World) -> None:
    """Port 7687 for a REPLICA adds a warning and works where Bolt is elsewhere."""
    (one,) = await world.start("one", bolt_port="7697")
    answer = await one.ask("SET REPLICATION ROLE TO REPLICA WITH PORT 7687")
    notes = [(n["severity"], n["code"]) for n in answer.summary["notifications"]]
    assert ("WARNING", "ReplicaPortWarning") in notes
    assert await one.role() == "replica"


@unseen("1.1")
async def test_only_the_transactional_storage_mode_replicates(world: World) -> None:
    """In IN_MEMORY_ANALYTICAL, SET ROLE, REGISTER and DROP are refused; SHOW works."""
    (one,) = await world.start("one")
    await one.ask("STORAGE MODE IN_MEMORY_ANALYTICAL")
    for statement in (
        "SET REPLICATION ROLE TO REPLICA WITH PORT 10000",
        'REGISTER REPLICA r SYNC TO "127.0.0.1:11999"',
        "DROP REPLICA r",
    ):
        text = "Replication query requires IN_MEMORY_TRANSACTIONAL mode."
        assert (await one.refusal(statement)).message == text
    assert await one.role() == "main"


@unseen("1.3")
async def test_rows_are_by_name_after_a_restart(world: World) -> None:
    """In memory the rows are in the order of registering, from the disk in that of their names."""
    main, b, a = await world.start("main", "b", "a")
    for name, replica in (("b", b), ("a", a)):
        await replica.demote()
        await main.register(name, "ASYNC", replica)
    assert [row[0] for row in (await main.ask("SHOW REPLICAS")).rows] == ["b", "a"]
    await main.kill()
    await main.start()
    assert [row[0] for row in (await main.ask("SHOW REPLICAS")).rows] == ["a", "b"]


@unseen("0.3")
async def test_whoever_registers_last_has_the_replica(world: World) -> None:
    """A second main's REGISTER steals a replica in silence; the first goes on showing `ready`
    until its next write, is `invalid` then, and its write is refused."""
    first, replica = await world.pair("STRICT_SYNC")
    (second,) = await world.start("second")
    await second.register("r", "STRICT_SYNC", replica)
    assert (await first.replica("r"))["status"] == "ready"
    await first.refusal("CREATE (:Stray)")
    assert (await first.replica("r"))["status"] in ("invalid", "recovery")
    assert await first.count() == 0
    await second.write()
    assert await replica.count() == 1


@unseen("2.3")
async def test_foreign_data_are_registered_and_never_follow(world: World) -> None:
    """A replica with data of another cluster is accepted and stays `invalid`: SYNC fails after
    each commit. An empty one adopts the cluster's storage and recovers."""
    main, foreign, empty = await world.start("main", "foreign", "empty")
    await main.write(2)
    await foreign.write(1, label="Foreign")
    await foreign.demote()
    await empty.demote()
    await main.register("f", "SYNC", foreign)
    assert (await main.replica("f"))["status"] == "invalid"
    await main.refusal("CREATE ()")
    assert (await main.count(), await foreign.count()) == (3, 1)
    await main.drop("f")
    await main.register("e", "SYNC", empty)
    await main.wait_status("e", "ready")
    assert await empty.count() == 3
