"""Bolt in each of its versions, message by message, over streams in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bolt_in_memory import (
    ACK_FAILURE,
    ALL,
    BEGIN,
    BROKEN,
    CLIENT,
    COMMIT,
    DISCARD,
    FAILURE,
    HELLO,
    IGNORED,
    LOGOFF,
    LOGON,
    PULL,
    RESET,
    ROLLBACK,
    ROUTE,
    RUN,
    SUCCESS,
    TRANSIENT,
    instance_at,
    wire_to,
)

from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.users import user_of_environment

VERSIONS = [(1, 0), (4, 0), (4, 1), (4, 3), (4, 4), (5, 2)]
MODERN = VERSIONS[1:]


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    async with instance_at(tmp_path) as it:
        yield it


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_conversation(instance: Instance, version: tuple[int, int]) -> None:
    """MEMGRAPH 5, L16: every version greets, runs, fetches, and knows nodes; the greeting tells the
    server's name and always the same connection; ids as text belong to Bolt 5 only."""
    async with wire_to(instance, version, greet=False) as wire:
        await wire.propose(version)
        tag, told = await wire.greet()
        assert (tag, told["connection_id"]) == (SUCCESS, "bolt-1")
        assert told["server"].startswith("Neo4j/v5.11.0 compatible")
        ((node,),) = await wire.run("CREATE (n:A {x: $x}) RETURN n", x=[1, None])
        ids = ("0",) if version >= (5, 0) else ()
        assert node.fields == (0, ["A"], {"x": [1, None]}, *ids)
        assert wire.summary["stats"]["nodes-created"] == 1
        assert {"type", "db", "run_id", "has_more"} <= set(wire.summary)


async def test_the_oldest_version_has_no_transactions_of_its_own(instance: Instance) -> None:
    """Source: handlers and executing states: Bolt 1.0 has PULL_ALL and DISCARD_ALL without fields,
    no BEGIN, and ACK_FAILURE; transactions go by text."""
    async with wire_to(instance, (1, 0)) as wire:
        assert (await wire.call(RUN, "UNWIND [1, 2] AS i RETURN i", {}))[0] == SUCCESS
        tag, told = await wire.call(DISCARD)
        assert (tag, wire.records, told["has_more"]) == (SUCCESS, [], False)
        for text in ("BEGIN", "CREATE (:B)", "ROLLBACK"):
            await wire.run(text)
        assert await wire.run("MATCH (b:B) RETURN count(b)") == [[0]]
        assert (await wire.call(RUN, "CREAT (n)", {}))[0] == FAILURE
        assert (await wire.call(PULL))[0] == IGNORED
        assert await wire.call(ACK_FAILURE) == (SUCCESS, {})
        assert await wire.run("RETURN 1") == [[1]]
        assert await wire.call(BEGIN, {}) == (FAILURE, BROKEN)
        assert await wire.receive() is None


async def test_a_failed_transaction_can_only_be_rolled_back(instance: Instance) -> None:
    """MEMGRAPH 5: after ACK_FAILURE the transaction is still open, but neither goes on nor commits;
    ROLLBACK ends it and nothing of it is left."""
    broken = "Transaction can't be committed because there was a previous error."
    async with wire_to(instance, (1, 0)) as wire:
        for text in ("BEGIN", "CREATE (:Half)", "CREAT (n)", "COMMIT", "RETURN 1", "ROLLBACK"):
            tag, told = await wire.try_run(text)
            if text in ("CREAT (n)", "COMMIT", "RETURN 1"):
                assert tag == FAILURE, text
                assert told["message"].startswith("Error" if "CREAT" in text else broken)
                assert await wire.call(ACK_FAILURE) == (SUCCESS, {})
            else:
                assert tag == SUCCESS, text
        assert await wire.run("MATCH (n) RETURN count(n)") == [[0]]


OUT_OF_PLACE: list[tuple[tuple[int, int], int, tuple[Any, ...]]] = [
    ((1, 0), RUN, ("RETURN 1", {}, {})),
    ((4, 1), RUN, ("RETURN 1", {})),
    ((4, 1), ROUTE, ({}, [], None)),
    ((4, 1), LOGOFF, ()),
    ((4, 4), LOGON, ({},)),
    ((4, 4), ACK_FAILURE, ()),
    ((5, 2), PULL, (ALL,)),
    ((5, 2), DISCARD, (ALL,)),
    ((5, 2), BEGIN, ()),
    ((5, 2), COMMIT, ({},)),
    ((5, 2), HELLO, ({"user_agent": "again"},)),
    ((5, 2), RESET, ({},)),
    ((5, 2), RUN, ("RETURN 1", {}, [])),
    ((5, 2), RUN, (b"RETURN 1", {}, {})),
]


@pytest.mark.parametrize(("version", "tag", "fields"), OUT_OF_PLACE)
async def test_a_message_out_of_place_ends_the_conversation(
    instance: Instance, version: tuple[int, int], tag: int, fields: tuple[Any, ...]
) -> None:
    """MEMGRAPH 5: what this version does not know here, or knows with other fields, gets the one
    FAILURE and the end."""
    async with wire_to(instance, version) as wire:
        assert await wire.call(tag, *fields) == (FAILURE, BROKEN)
        assert await wire.receive() is None


@pytest.mark.parametrize("version", MODERN)
async def test_after_a_failure(instance: Instance, version: tuple[int, int]) -> None:
    """MEMGRAPH 5: everything is IGNORED until RESET, whatever it is, and RESET aborts the explicit
    transaction."""
    async with wire_to(instance, version) as wire:
        assert await wire.call(BEGIN, {}) == (SUCCESS, {})
        await wire.run("CREATE (:Gone)")
        assert (await wire.call(RUN, "RETURN nobody", {}, {}))[0] == SUCCESS
        tag, told = await wire.call(PULL, ALL)
        assert (tag, told["code"]) == (FAILURE, CLIENT)
        for message in (
            (RUN, "RETURN 1", {}, {}),
            (PULL, ALL),
            (COMMIT,),
            (ACK_FAILURE,),
            (0x54, 1),
        ):
            assert (await wire.call(*message))[0] == IGNORED
        assert await wire.call(RESET) == (SUCCESS, {})
        assert await wire.run("MATCH (g:Gone) RETURN count(g)") == [[0]]
        assert (await wire.call(ROLLBACK))[0] == FAILURE


async def test_results_of_a_transaction_have_numbers(instance: Instance) -> None:
    """MEMGRAPH 5: `qid` counts up inside an explicit transaction and is absent outside; a fetch may
    name it, -1 means the last; another number, and a negative count, are a client's mistake."""
    async with wire_to(instance) as wire:
        assert await wire.call(RUN, "RETURN 1", {}, {}) == (SUCCESS, {"fields": ["1"]})
        assert (await wire.call(PULL, {"n": 0}))[1]["has_more"] is True
        await wire.call(PULL, {"n": 1, "qid": -1})
        await wire.call(BEGIN, {})
        for number in range(3):
            assert (await wire.call(RUN, "RETURN 1 AS x", {}, {}))[1]["qid"] == number
            tag, told = await wire.call(PULL, {"n": 5, "qid": number})
            assert (tag, wire.records, told["has_more"]) == (SUCCESS, [[1]], False)
        await wire.call(ROLLBACK)
        for fetch, text in (({"n": -1, "qid": 4}, "qid - Query"), ({"n": -2}, "n - Cannot fetch")):
            await wire.call(BEGIN, {})
            await wire.call(RUN, "RETURN 1 AS x", {}, {})
            tag, told = await wire.call(PULL, fetch)
            assert (tag, told["code"]) == (FAILURE, CLIENT)
            assert told["message"].startswith(f"Invalid arguments sent: {text}")
            await wire.call(RESET)
    assert instance.storage.graph.open_count == 0


@pytest.mark.parametrize("version", MODERN)
async def test_databases_by_name(instance: Instance, version: tuple[int, int]) -> None:
    """Transcript 12: `memgraph` is the only database, in RUN and in BEGIN."""
    async with wire_to(instance, version) as wire:
        for message in ((RUN, "RETURN 1", {}, {"db": "neo4j"}), (BEGIN, {"db": "neo4j"})):
            tag, told = await wire.call(*message)
            assert (tag, told["code"]) == (FAILURE, TRANSIENT)
            assert told["message"] == 'Tried to retrieve an unknown database "neo4j".'
            await wire.call(RESET)
        assert await wire.call(BEGIN, {"db": "memgraph", "mode": "r"}) == (SUCCESS, {})
        await wire.run("CREATE (:ByAReader)")
        assert await wire.call(COMMIT) == (SUCCESS, {})


@pytest.mark.parametrize("version", VERSIONS)
async def test_users(instance: Instance, version: tuple[int, int]) -> None:
    """MEMGRAPH 5: with a user only its password is let in, and a refusal ends the conversation."""
    right = {"scheme": "basic", "principal": "u", "credentials": "secret"}
    wrong: list[dict[str, Any]] = [{**right, "credentials": "other"}, {"scheme": "none"}]
    async with wire_to(instance, version) as wire:
        await wire.run("CREATE USER u IDENTIFIED BY 'secret'")
    for auth in (right, *wrong):
        async with wire_to(instance, version, greet=False) as wire:
            await wire.propose(version)
            tag, told = await wire.greet(auth=auth)
            if auth is right:
                assert tag == SUCCESS
                assert await wire.run("RETURN 1") == [[1]]
                continue
            assert told == {
                "code": "Memgraph.ClientError.Security.Unauthenticated",
                "message": "Authentication failure",
            }
            assert await wire.receive() is None


GREETINGS: list[tuple[dict[str, Any], int]] = [
    ({"scheme": "none"}, SUCCESS),
    ({"principal": "whoever"}, SUCCESS),
    ({"scheme": "basic"}, SUCCESS),
    ({"scheme": "basic", "principal": "u", "credentials": "p"}, SUCCESS),
    ({"scheme": "basic", "principal": 5}, FAILURE),
    ({"scheme": "kerberos"}, FAILURE),
]


@pytest.mark.parametrize(("auth", "tag"), GREETINGS)
async def test_greetings_without_users(instance: Instance, auth: dict[str, Any], tag: int) -> None:
    """MEMGRAPH 5, transcript 12: without users anything is accepted, as far as it is Bolt."""
    for version in VERSIONS:
        async with wire_to(instance, version, greet=False) as wire:
            await wire.propose(version)
            assert (await wire.greet(auth=auth))[0] == tag


async def test_users_by_statement(tmp_path: Path) -> None:
    """Users are made, changed, shown and dropped by statement, and are there after a restart;
    whoever is connected stays. Passwords are not on the disk."""
    async with instance_at(tmp_path) as instance, wire_to(instance) as wire:
        await wire.run("CREATE USER u IDENTIFIED BY 'first one'")
        await wire.run("CREATE USER IF NOT EXISTS u")
        assert (await wire.refusal("CREATE USER u"))[1] == "User 'u' already exists."
        assert (await wire.refusal("DROP USER v"))[1] == "User 'v' doesn't exist."
        await wire.run("SET PASSWORD FOR u TO 'second one'")
        await wire.run("CREATE USER open")
    assert "one" not in (tmp_path / "auth.json").read_text()
    async with instance_at(tmp_path) as instance:
        for user, password, tag in (
            ("u", "second one", SUCCESS),
            ("u", "first one", FAILURE),
            ("open", "anything", SUCCESS),
            ("nobody", "", FAILURE),
        ):
            async with wire_to(instance, greet=False) as wire:
                await wire.propose((5, 2))
                auth = {"scheme": "basic", "principal": user, "credentials": password}
                assert (await wire.greet(auth=auth))[0] == tag
                if tag == SUCCESS:
                    assert await wire.run("SHOW USERS") == [["u"], ["open"]]
                    assert (await wire.run("SHOW TRANSACTIONS"))[0][0] == user


def test_the_first_user_comes_from_the_environment(tmp_path: Path) -> None:
    """MEMGRAPH 5: MEMGRAPH_USER and MEMGRAPH_PASSWORD, or the file of MEMGRAPH_PASSFILE."""
    file = tmp_path / "pass"
    file.write_text("u:p:q\n")
    assert user_of_environment({"MEMGRAPH_USER": "u", "MEMGRAPH_PASSWORD": "p"}) == ("u", "p")
    assert user_of_environment({"MEMGRAPH_PASSFILE": str(file)}) == ("u", "p:q")
    assert user_of_environment({}) is None
    for path in (tmp_path / "none", tmp_path / "bad"):
        (tmp_path / "bad").write_text("nothing")
        with pytest.raises(ValueError, match="MEMGRAPH_PASSFILE"):
            user_of_environment({"MEMGRAPH_PASSFILE": str(path)})


async def test_storage_modes(instance: Instance) -> None:
    """MEMGRAPH 1.1, 3.6d: in analytical mode replication queries are refused, and the storage info
    names it."""
    async with wire_to(instance) as wire:
        await wire.run("STORAGE MODE IN_MEMORY_ANALYTICAL")
        assert ["global_storage_mode", "IN_MEMORY_ANALYTICAL"] in await wire.run(
            "SHOW STORAGE INFO"
        )
        text = "Replication query requires IN_MEMORY_TRANSACTIONAL mode."
        assert await wire.refusal("SET REPLICATION ROLE TO MAIN") == (CLIENT, text)
        assert await wire.run("SHOW REPLICATION ROLE") == [["main"]]
        await wire.run("STORAGE MODE IN_MEMORY_TRANSACTIONAL")
        assert "Couldn't set" in (await wire.refusal("SET REPLICATION ROLE TO MAIN"))[1]
        assert "stand-in" in (await wire.refusal("STORAGE MODE ON_DISK_TRANSACTIONAL"))[1]


async def test_logging_off(instance: Instance) -> None:
    """MEMGRAPH 5: after LOGOFF only LOGON is heard, and an open transaction is gone; HELLO must
    name its client."""
    async with wire_to(instance) as wire:
        await wire.call(BEGIN, {})
        await wire.run("CREATE (:Lost)")
        assert await wire.call(LOGOFF) == (SUCCESS, {})
        assert (await wire.call(LOGON, {"scheme": "none"}))[0] == SUCCESS
        assert await wire.run("MATCH (n) RETURN count(n)") == [[0]]
        await wire.call(LOGOFF)
        assert await wire.call(RUN, "RETURN 1", {}, {}) == (FAILURE, BROKEN)
    async with wire_to(instance, greet=False) as wire:
        await wire.propose((5, 2))
        assert await wire.call(HELLO, {}) == (FAILURE, BROKEN)


@pytest.mark.parametrize("version", [(4, 3), (4, 4), (5, 2)])
async def test_no_routing(instance: Instance, version: tuple[int, int]) -> None:
    """MEMGRAPH 5: ROUTE exists from 4.3 on and is refused, which leaves the conversation usable."""
    async with wire_to(instance, version) as wire:
        tag, told = await wire.call(ROUTE, {}, [], {} if version > (4, 3) else None)
        assert (tag, told["code"]) == (FAILURE, CLIENT)
        assert told["message"].startswith("You cannot fetch routing table")
        await wire.call(RESET)
        assert await wire.run("RETURN 1") == [[1]]
