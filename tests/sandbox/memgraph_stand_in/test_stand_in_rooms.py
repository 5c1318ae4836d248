"""Flags, statements, epochs, log, storage, locks and texts, without processes."""

import os
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from controller.sandbox.memgraph.control import obey
from controller.sandbox.memgraph.durability import history as epochs
from controller.sandbox.memgraph.durability.commits import Commit, decode_commit
from controller.sandbox.memgraph.durability.snapshots import load_snapshot
from controller.sandbox.memgraph.durability.state import (
    DirectoryBusy,
    Registration,
    ReplicationState,
    StateFile,
    lock_directory,
)
from controller.sandbox.memgraph.durability.storage import Storage, StorageOptions
from controller.sandbox.memgraph.durability.wal import Wal
from controller.sandbox.memgraph.failures import ClientFailure, Failure, TransientFailure
from controller.sandbox.memgraph.faults import Dialer, Faults
from controller.sandbox.memgraph.flags import parse_flags
from controller.sandbox.memgraph.graph.store import GraphStore
from controller.sandbox.memgraph.logbook import Logbook
from controller.sandbox.memgraph.replication.client import MainSide, ReplicaClient
from controller.sandbox.memgraph.replication.locks import RoleLock, SystemTurn
from controller.sandbox.memgraph.replication.report import Shortfall, replication_failure
from controller.sandbox.memgraph.replication.rpc import Reason
from controller.sandbox.memgraph.statement_parser import parse_statement
from controller.sandbox.memgraph.statements import (
    Control,
    CreateSnapshot,
    Drop,
    Register,
    Schema,
    SetRole,
    Show,
)


def options(directory: Path) -> StorageOptions:
    return StorageOptions(directory, flush_every_n_tx=1, snapshot_retention=3, recover=True)


def write(storage: Storage, count: int = 1) -> None:
    for _ in range(count):
        transaction = storage.begin()
        transaction.create_node(["X"], {"v": 1})
        commit = storage.next_commit(transaction)
        storage.install(transaction, commit, commit.encode())


def test_flag_forms() -> None:
    """`--x v`, `--x=v`, `-x`, bare booleans, later ones win, unknown ones are only named."""
    flags = parse_flags(
        [
            *("--bolt-port", "1", "--bolt_port=2", "-init-file", "f", "--telemetry-enabled"),
            *("--stand-in-false-divergence", "false", "--who", "me", "--what=1", "stray"),
        ]
    )
    assert (flags.number("bolt_port"), flags.text("init_file")) == (2, "f")
    assert (flags.is_on("telemetry_enabled"), flags.is_on("stand_in_false_divergence")) == (
        True,
        False,
    )
    assert flags.unknown == ("who", "what", "stray")
    assert flags.release == (3, 12)
    with pytest.raises(ValueError, match="illegal value 'x'"):
        parse_flags(["--bolt-port=x"]).number("bolt_port")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET REPLICATION ROLE TO MAIN", SetRole(None)),
        ("set replication role to replica with port 10000;", SetRole(10000)),
        ('REGISTER REPLICA r SYNC TO "h"', Register("r", "sync", "h", 10000)),
        ("REGISTER REPLICA `r-1.x` STRICT_SYNC TO 'h:7'", Register("r-1.x", "strict_sync", "h", 7)),
        ('REGISTER REPLICA sync ASYNC TO "h:65537"', Register("sync", "async", "h", 1)),
        ("DROP REPLICA `r`", Drop("r")),
        ("SHOW REPLICAS", Show("REPLICAS")),
        ("SHOW STORAGE INFO ON CURRENT DATABASE", Show("STORAGE INFO ON CURRENT DATABASE")),
        ("CREATE SNAPSHOT;", CreateSnapshot()),
        ("BEGIN", Control("BEGIN")),
        ("CREATE INDEX ON :A(b, c)", Schema("index", True, "A", ("b", "c"))),
        ("DROP INDEX ON :A", Schema("index", False, "A", ())),
        (
            "CREATE CONSTRAINT ON (n:A) ASSERT n.b, n.c IS UNIQUE",
            Schema("constraint", True, "A", ("b", "c")),
        ),
        ("CREATE (n)", None),
        ("MATCH (n) SET n.x = 1", None),
    ],
)
def test_statements(text: str, expected: object) -> None:
    """MEMGRAPH 1.1: the grammar of administration, case-insensitive, names back-ticked or not."""
    assert parse_statement(text) == expected


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("SET REPLICATION ROLE TO REPLICA", ClientFailure, "Replica must set a port!"),
        ("SET REPLICATION ROLE TO MAIN WITH PORT 1", ClientFailure, "Main can't set a port!"),
        ("SET REPLICATION ROLE TO REPLICA WITH PORT 'x'", ClientFailure, "integer literal"),
        ("SET REPLICATION ROLE TO REPLICA WITH PORT 65536", ClientFailure, "Port number invalid!"),
        ("REGISTER REPLICA r SYNC TO 5", ClientFailure, "should be a string literal!"),
        ("REGISTER REPLICA r SYNC TO $x", ClientFailure, "line 1 position 28"),
        ("REGISTER REPLICA r QUICK TO 'h'", ClientFailure, "mismatched input 'QUICK'"),
        ("REGISTER REPLICA r SYNC TO '::1'", ClientFailure, "Invalid socket address."),
        ("REGISTER REPLICA r SYNC TO 'h:x'", TransientFailure, "Couldn't parse string"),
        ("SHOW NOTHING", ClientFailure, "mismatched input 'NOTHING'"),
        ("DROP REPLICA r s", ClientFailure, "expecting {<EOF>}"),
    ],
)
def test_bad_statements(text: str, kind: type[Failure], message: str) -> None:
    """MEMGRAPH 1.1: each mistake has its sentence and class."""
    with pytest.raises(kind) as caught:
        parse_statement(text)
    assert message in caught.value.message
    assert type(caught.value) is kind


def test_divergence_rule() -> None:
    """MEMGRAPH 3.5: same epoch never; unknown epoch always; else by the entry's ldt, and the oldest
    entry calls an identical replica diverged."""
    history = (("A", 4), ("A", 10), ("B", 20))

    def diverged(epoch: str, ldt: int, *, oldest: bool = True) -> bool:
        return epochs.is_diverged(
            main_epoch="C",
            main_history=history,
            replica_epoch=epoch,
            replica_ldt=ldt,
            oldest_match=oldest,
        )

    assert diverged("C", 99) is False
    assert diverged("Z", 1) is True
    assert diverged("Z", 0) is False
    assert (diverged("B", 20), diverged("B", 21)) == (False, True)
    assert (diverged("A", 10), diverged("A", 10, oldest=False)) == (True, False)
    assert diverged("A", 4) is False


def test_history_entries() -> None:
    """MEMGRAPH 3.5: an entry is skipped when the last one has the current ldt; the reported one
    is that entry's then, else the current one."""
    history = epochs.with_latest((), "A", 0)
    assert epochs.with_latest(history, "B", 0) == (("A", 0),)
    assert epochs.reported_epoch(history, "B", 0) == "A"
    assert epochs.reported_epoch(history, "B", 2) == "B"
    assert len(epochs.with_latest((("A", 0),) * 1000, "B", 1)) == epochs.HISTORY_MAX


def test_timestamps(tmp_path: Path) -> None:
    """MEMGRAPH 8: the first write brings ts 2, each further one 2 more, a read takes one; after a
    restart the counter is ldt + 1 and the start-up takes one."""
    storage = Storage(options(tmp_path))
    write(storage, 2)
    assert storage.ldt == 4
    storage.begin().close()
    write(storage)
    assert storage.ldt == 7
    storage.close()
    again = Storage(options(tmp_path))
    assert (again.ldt, again.counter) == (7, 9)
    again.close()


def test_restart_adds_an_entry_and_keeps_uuid_and_epoch(tmp_path: Path) -> None:
    """MEMGRAPH 3.5, L4, L17: a restart inside an epoch leaves (epoch, ldt) in the history; the
    storage UUID and the epoch of the log stay; an epoch begun in memory only is lost."""
    storage = Storage(options(tmp_path))
    write(storage)
    epoch, storage_uuid = storage.epoch, storage.uuid
    storage.end_epoch()
    storage.close()
    again = Storage(options(tmp_path))
    assert (again.epoch, again.uuid, again.history) == (epoch, storage_uuid, ((epoch, 2),))
    again.end_epoch()
    again.create_snapshot()
    renewed = again.epoch
    again.close()
    third = Storage(options(tmp_path))
    assert (third.epoch, third.history) == (renewed, ((epoch, 2),))
    third.close()


def test_replica_side(tmp_path: Path) -> None:
    """MEMGRAPH 3.3, 3.5: a prepared commit is invisible until finalized, a new one aborts it, a
    foreign epoch enters the history, and an applied timestamp is skipped silently."""
    main, replica = Storage(options(tmp_path / "m")), Storage(options(tmp_path / "r"))
    write(main, 3)
    own = replica.epoch
    first, second, third = [decode_commit(p) for p in main.commits_after(0) or ()]
    replica.prepare(first, first.encode())
    assert replica.graph.counts() == (0, 0)
    assert replica.finalize(second.ts) is False
    replica.prepare(first, first.encode())
    assert replica.finalize(first.ts) is True
    assert (replica.ldt, replica.history, replica.epoch) == (2, ((own, 0),), main.epoch)
    replica.apply(first, first.encode())
    replica.apply(second, second.encode())
    replica.prepare(third, third.encode())
    replica.abort_prepared()
    assert (replica.graph.counts(), replica.ldt) == ((2, 0), 4)
    main.close()
    replica.close()


def test_a_reader_of_a_replica_holds_up_no_commit(tmp_path: Path) -> None:
    """The main's timestamps run ahead of the replica's own: commits to one node follow each other
    while somebody reads there, who goes on seeing what was."""
    main, replica = Storage(options(tmp_path / "m")), Storage(options(tmp_path / "r"))
    write(main)
    for _ in range(20):
        main.begin().close()
    for value in (1, 2):
        transaction = main.begin()
        transaction.set_properties(("n", 0), {"value": value})
        commit = main.next_commit(transaction)
        main.install(transaction, commit, commit.encode())
    first, *later = [decode_commit(p) for p in main.commits_after(0) or ()]
    replica.apply(first, first.encode())
    reader = replica.begin()
    seen = reader.node(0)
    for commit in later:
        replica.apply(commit, commit.encode())
    assert replica.ldt == main.ldt
    assert reader.node(0) == seen
    newer = replica.begin().node(0)
    assert newer is not None
    assert newer.properties == {"value": 2}
    main.close()
    replica.close()


def test_a_commit_that_cannot_be_replayed_holds_nothing(tmp_path: Path) -> None:
    """It is refused, and the next attempt finds no writer of its own in the way."""
    main, replica = Storage(options(tmp_path / "m")), Storage(options(tmp_path / "r"))
    write(main)
    (first,) = [decode_commit(p) for p in main.commits_after(0) or ()]
    broken = attrs.evolve(first, changes=[*first.changes, ["rel", 0, "KNOWS", 0, 99, {}]])
    with pytest.raises(ClientFailure, match="deleted nodes"):
        replica.apply(broken, broken.encode())
    assert replica.graph.open_count == 0
    replica.apply(first, first.encode())
    assert replica.ldt == first.ts
    main.close()
    replica.close()


def test_recovery_sources(tmp_path: Path) -> None:
    """MEMGRAPH 3.4: what is in the log goes as commits, what is not as a snapshot, which replaces
    everything and survives a restart of the replica."""
    main = Storage(options(tmp_path / "m"))
    write(main, 3)
    assert [decode_commit(p).ts for p in main.commits_after(2) or ()] == [4, 6]
    assert main.commits_after(6) == []
    main.create_snapshot()
    main.close()
    again = Storage(options(tmp_path / "m"))
    write(again)
    assert again.commits_after(6) is not None
    replica = Storage(options(tmp_path / "r"))
    replica.replace(again.snapshot_data())
    replica.close()
    reborn = Storage(options(tmp_path / "r"))
    assert (reborn.graph.counts(), reborn.ldt, reborn.epoch) == ((4, 0), again.ldt, again.epoch)
    again.close()
    reborn.close()


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"ldt": 1}\n["n", 1'])
def test_broken_snapshot_is_refused(damage: bytes) -> None:
    """A snapshot without its end is no snapshot."""
    with pytest.raises((ValueError, KeyError)):
        load_snapshot(damage, GraphStore())


def test_broken_newest_snapshot_falls_back_to_the_older(tmp_path: Path) -> None:
    """A damaged file costs nothing while an older snapshot and the log lead to the same state."""
    storage = Storage(options(tmp_path))
    write(storage)
    storage.create_snapshot()
    write(storage)
    newest = storage.create_snapshot()
    storage.close()
    newest.write_bytes(b"damaged")
    again = Storage(options(tmp_path))
    assert (again.ldt, again.graph.counts()) == (4, (2, 0))
    again.close()


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_torn_and_damaged_records(tmp_path: Path, cut: int) -> None:
    """The log is read up to the first record that is not whole, and goes on after it."""
    wal = Wal(tmp_path, 1)
    for payload in (b"one", b"two"):
        wal.append(payload)
    wal.close()
    (segment,) = wal.segments()
    segment.write_bytes(segment.read_bytes()[:-cut])
    assert list(Wal(tmp_path, 1).read()) == [b"one"]
    wal.append(b"three")
    wal.close()
    assert list(wal.read()) == [b"one", b"three"]


def test_commit_record_refuses_other_bytes() -> None:
    """Neither JSON of another shape nor noise is taken for a commit."""
    commit = Commit(2, 0, "E", [["node", 0, ["X"], {"v": 1.5}]])
    assert decode_commit(commit.encode()) == commit
    for junk in (b"", b"5", b"[1, 2]"):
        with pytest.raises(ValueError):
            decode_commit(junk)


def test_state_file(tmp_path: Path) -> None:
    """MEMGRAPH 1.7: what is saved is loaded, registrations by name; switched off, a fresh MAIN."""
    rows = tuple(Registration(name, "h", 1, "sync", 1) for name in "ba")
    state = ReplicationState("main", "u", None, rows)
    StateFile(tmp_path, enabled=True).save(state)
    loaded = StateFile(tmp_path, enabled=True).load()
    assert loaded == attrs.evolve(state, registrations=rows[::-1])
    off = StateFile(tmp_path, enabled=False)
    off.save(attrs.evolve(state, role="replica"))
    assert (off.load().role, off.load().registrations) == ("main", ())
    assert StateFile(tmp_path, enabled=True).load().role == "main"


def test_directory_lock(tmp_path: Path) -> None:
    """Only one holder at a time, also within a process."""
    held = lock_directory(tmp_path)
    with pytest.raises(DirectoryBusy):
        lock_directory(tmp_path)

    os.close(held)
    os.close(lock_directory(tmp_path))


async def test_role_lock() -> None:
    """A holder of either kind makes it busy; `wait_free` waits for the exclusive one only."""
    lock = RoleLock()
    with lock.shared():
        assert lock.is_busy
        await lock.wait_free()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            with lock.exclusive():
                nursery.start_soon(lock.wait_free)
                await trio.testing.wait_all_tasks_blocked()
                assert nursery.child_tasks
    assert not lock.is_busy


async def test_system_turn(autojump_clock: trio.testing.MockClock) -> None:
    """MEMGRAPH 1.1: the second system query waits 100 ms and is refused."""
    turn, one, two = SystemTurn(), object(), object()
    with trio.fail_after(5):
        assert await turn.take(one)
        assert not await turn.take(two)
        assert trio.current_time() == pytest.approx(0.1)
        turn.release(two)
        turn.release(one)
        assert await turn.take(two)


def shortfalls(tmp_path: Path, *pairs: tuple[str, str, Reason]) -> list[Shortfall]:
    storage = Storage(options(tmp_path))
    storage.close()
    side = MainSide("u", storage, Dialer(Faults(), "0.0.0.0", None), Logbook(None), True)
    found = []
    for name, mode, reason in pairs:
        client = ReplicaClient(Registration(name, "h", 1, mode, 1), side)
        client.close_now()
        found.append(Shortfall(client, reason))
    return found


CHECK = " Check the status of the replicas using 'SHOW REPLICAS' query."


def test_replication_texts(tmp_path: Path) -> None:
    """MEMGRAPH 2.1: names joined by mode and reason, groups by a space, the timeout's advice."""
    three = shortfalls(tmp_path, *((name, "sync", Reason.NOT_IN_SYNC) for name in "abc"))
    text = replication_failure(three, aborted=False, release=(3, 12), explicit=False).message
    assert "to SYNC replicas 'a', 'b' and 'c': replicas are not reachable" in text
    assert text.startswith("Replication Exception: ")
    assert text.endswith(f"other alive replicas.{CHECK}")
    late = shortfalls(
        tmp_path, ("a", "strict_sync", Reason.RPC_TIMEOUT), ("b", "strict_sync", Reason.RPC_ERROR)
    )
    text = replication_failure(late, aborted=True, release=(3, 12), explicit=False).message
    assert "replica 'a': RPC timeout while replicating. Failed to replicate to STRICT" in text
    assert "Replicas will be recovered automatically. Transaction was aborted" in text
    assert "Main reached an RPC timeout while replicating to [a]. One" in text
    assert text.endswith(f"on the coordinator.{CHECK}")


@pytest.mark.parametrize(
    ("release", "explicit", "kind"),
    [
        ((3, 6), False, TransientFailure),
        ((3, 6), True, ClientFailure),
        ((3, 8), False, ClientFailure),
        ((3, 12), False, ClientFailure),
    ],
)
def test_replication_classes(
    tmp_path: Path, release: tuple[int, int], explicit: bool, kind: type[Failure]
) -> None:
    """MEMGRAPH 2: retryable for auto-commit up to 3.7, the client's fault from 3.8 on."""
    one = shortfalls(tmp_path, ("a", "sync", Reason.RPC_ERROR))
    failure = replication_failure(one, aborted=False, release=release, explicit=explicit)
    assert type(failure) is kind


def test_control_commands() -> None:
    """Each command sets its switch; the answer tells the whole state; nonsense changes nothing."""
    faults = Faults()
    for line in (
        b'{"do": "hang"}',
        b'{"do": "slow", "ms": 20}',
        b'{"do": "partition", "peers": ["10.0.0.1"]}',
        b'{"do": "partition"}',
        b'{"do": "drop-reply"}',
        b'{"do": "lock-busy", "count": 2}',
        b'{"do": "lose-finalize", "count": 3}',
    ):
        assert obey(line, faults)["ok"] is True
    told = obey(b'{"do": "nothing such"}', faults)
    assert told["ok"] is False
    assert obey(b'{"do": "status"}', faults) == {
        "ok": True,
        "hung": True,
        "slow_ms": 20,
        "partitioned": True,
        "silent_peers": ["10.0.0.1"],
        "drop_replies": 1,
        "lock_busy": 2,
        "lose_finalize": 3,
        "deaf_to": [],
        "mute_to": [],
        "refused_ports": [],
        "disk_full": False,
        "drop_crash": 0,
        "drop_hang": 0,
    }
    assert obey(b'{"do": "heal"}', faults)["silent_peers"] == []
    assert obey(b'{"do": "unhang"}', faults)["hung"] is False
