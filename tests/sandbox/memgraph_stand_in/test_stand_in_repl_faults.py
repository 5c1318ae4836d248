"""Faults between instances: one-way silence, refused ports, queued tasks at DROP, slow replicas."""

import signal
import ssl
import subprocess
import time
from pathlib import Path

import pytest
import trio
from stand_in_world import BoltConnection, Refused, Stand, World

pytestmark = pytest.mark.process

RUN, PULL, SUCCESS, FAILURE = 0x10, 0x3F, 0x70, 0x7F


async def answers(stand: Stand) -> bool:
    """Whether the Bolt port takes a dial."""
    await trio.sleep(0.01)
    try:
        (await trio.open_tcp_stream(stand.address, 7687)).socket.close()
    except OSError:
        return False
    return True


async def test_refused_bolt_port(world: World) -> None:
    """New dials are refused, as with no process; an open connection goes on; `accept` ends it."""
    stand = await world.stand("s").start()
    assert (await stand.control("refuse", port="bolt"))["refused_ports"] == ["bolt"]
    with trio.fail_after(5):
        while await answers(stand):  # the port closes at the next turn of the loop
            pass
    assert await stand.run("RETURN 1") == [[1]]
    await stand.control("accept", port="bolt")
    with trio.fail_after(5):
        while not await answers(stand):
            pass
    await stand.connect()
    assert await stand.run("RETURN 2") == [[2]]


async def test_refused_replication_port(world: World) -> None:
    """A registration finds nobody (Error 5) while the port is refused, and somebody afterwards."""
    main, replica = await world.start("main", "replica")
    await replica.demote()
    await replica.control("refuse", port="replication")
    register = f'REGISTER REPLICA r SYNC TO "{replica.address}"'
    assert (await main.refused(register)).message.endswith("Error: 5")
    await main.run("DROP REPLICA r")
    await replica.control("accept", port="replication")
    with trio.fail_after(5):
        while True:
            try:
                await main.run(register)
                break
            except Refused:
                await main.run("DROP REPLICA r")
    await main.wait_status("r", "ready")


@pytest.mark.parametrize("way", ["deaf", "mute"])
async def test_one_way_silence(world: World, way: str) -> None:
    """A main that hears nothing from its replica, or tells it nothing, waits with its write, while
    clients are heard and answered; nothing is lost when the silence ends."""
    main, replica = await world.pair("STRICT_SYNC")
    await main.run("CREATE (:X)")
    writer, asker = await main.connect(), await main.connect()
    await main.control(way, peers=[replica.address])
    await writer.send(RUN, "CREATE (:X)", {}, {})
    await writer.send(PULL, {"n": -1})
    assert (await writer.receive()).tag == SUCCESS
    with trio.fail_after(5):
        while (await asker.run("SHOW REPLICAS"))[0][4]["memgraph"]["status"] != "replicating":
            pass
    with pytest.raises(trio.TooSlowError), trio.fail_after(0.3):
        await writer.receive()
    assert await replica.count() == 1
    await main.control("heal")
    with trio.fail_after(10):
        assert (await writer.receive()).tag == SUCCESS
    assert await replica.count() == 2


async def lost_replica(world: World, fault: str) -> Stand:
    """A main whose replica is gone, so that a check of it is queued, with a fault for DROP."""
    main, replica = await world.pair("ASYNC")
    await replica.kill()
    await main.run("CREATE (:X)")
    await main.wait_status("r", "invalid")
    if fault:
        await main.control(fault)
    return main


async def test_drop_during_a_queued_check_is_harmless_by_default(world: World) -> None:
    """Without the fault DROP forgets a replica in every state."""
    main = await lost_replica(world, "")
    await main.run("DROP REPLICA r")
    assert await main.run("SHOW REPLICAS") == []


async def test_drop_during_a_queued_check_may_crash(world: World) -> None:
    """MEMGRAPH L8: with the fault the main dies by SIGSEGV; its registration is still there."""
    main = await lost_replica(world, "drop-crash")
    with pytest.raises(ConnectionResetError):
        await main.run("DROP REPLICA r")
    assert await main.wait_end() == -signal.SIGSEGV
    await main.start()
    assert [row[0] for row in await main.run("SHOW REPLICAS")] == ["r"]


async def test_drop_of_a_ready_replica_never_crashes(world: World) -> None:
    """MEMGRAPH L8: the fault waits for a queued task; a quiet, ready replica is dropped."""
    main, _ = await world.pair("ASYNC")
    await main.wait_status("r", "ready")
    await main.control("drop-crash")
    await main.run("DROP REPLICA r")
    assert await main.run("SHOW REPLICAS") == []


async def test_drop_during_a_queued_check_may_hang(world: World) -> None:
    """MEMGRAPH L8: with the other fault neither the DROP nor anybody after it is answered."""
    main = await lost_replica(world, "drop-hang")
    dropping, asking = main.connections[-1], await main.connect()
    for connection, text in ((dropping, "DROP REPLICA r"), (asking, "SHOW REPLICAS")):
        await connection.send(RUN, text, {}, {})
        await connection.receive()
        await connection.send(PULL, {"n": -1})
    for connection in (dropping, asking):
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.3):
            await connection.receive()


ATTEMPTS_MAX = 8


async def promote_inside_a_commit(world: World, version: str, attempt: int) -> int:
    """The tag of the outcome of a promotion while the replica takes a commit slowly.

    Checks are off: the commit would wait behind a slow ping, and the promotion fall before it.
    """
    flags = (f"--stand-in-version={version}", "--replication-replica-check-frequency-sec=0")
    main, replica = (world.stand(f"{n}-{attempt}", *flags) for n in ("main", "replica"))
    await main.start()
    await replica.start()
    await replica.demote()
    await main.register("r", "SYNC", replica)
    writer, promoter = await main.connect(), replica.connections[-1]
    await main.connect()
    await promoter.send(RUN, "SET REPLICATION ROLE TO MAIN", {}, {})
    await promoter.receive()
    await replica.control("slow", ms=800)
    await writer.send(RUN, "CREATE (:X)", {}, {})
    await writer.send(PULL, {"n": -1})
    await main.wait_status("r", "replicating")
    await promoter.send(PULL, {"n": -1})
    with trio.fail_after(10):
        return (await promoter.receive()).tag


@pytest.mark.parametrize(("version", "tag"), [("3.12", FAILURE), ("3.6.1", SUCCESS)])
async def test_promotion_inside_a_replicated_commit(world: World, version: str, tag: int) -> None:
    """MEMGRAPH 1.5: from 3.9 a replica that takes a commit at this moment refuses the promotion.
    Nobody outside can tell the moment, so that it is tried until the two meet."""
    tags = []
    while tag not in tags and len(tags) < ATTEMPTS_MAX:
        tags.append(await promote_inside_a_commit(world, version, len(tags)))
    assert tag in tags
    assert version != "3.6.1" or FAILURE not in tags


async def seconds_to_promote(replica: Stand) -> float:
    began = time.monotonic()
    await replica.promote()
    return time.monotonic() - began


async def test_promotion_without_a_live_main_takes_its_time(world: World) -> None:
    """MEMGRAPH L14: with the flag, a promotion lasts that long when no main is connected."""
    delayed = "--stand-in-promotion-delay-ms=3000"
    main, replica = await world.stand("main").start(), await world.stand("r", delayed).start()
    await replica.demote()
    assert await seconds_to_promote(replica) >= 3.0
    await replica.demote()
    await main.register("r", "ASYNC", replica)
    assert await seconds_to_promote(replica) < 3.0


async def test_system_info_needs_a_licence(world: World) -> None:
    """MEMGRAPH 1.3: NULL without a licence, a map with one, `invalid` for a lost replica."""
    main, replica = await world.pair("ASYNC")
    assert (await main.run("SHOW REPLICAS"))[0][3] is None
    licensed = await world.stand("licensed", MEMGRAPH_ENTERPRISE_LICENSE="x").start()
    await licensed.register("r", "ASYNC", replica)
    ready = {"ts": 0, "behind": None, "status": "ready"}
    assert (await licensed.run("SHOW REPLICAS"))[0][3] == ready
    await replica.kill()
    await licensed.run("CREATE (:X)")
    await licensed.wait_status("r", "invalid")
    assert (await licensed.run("SHOW REPLICAS"))[0][3]["status"] == "invalid"


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    files = (directory / "cert.pem", directory / "key.pem")
    made = ["-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            *made,
        ],
        check=True,
        capture_output=True,
    )
    return files


async def test_bolt_over_tls(world: World, tmp_path: Path) -> None:
    """MEMGRAPH 5: with certificate and key Bolt speaks TLS and nothing else; a client without is
    told nothing."""
    cert, key = certificate(tmp_path)
    stand = world.stand("s", f"--bolt-cert-file={cert}", f"--bolt-key-file={key}")
    stand.spawn()
    context = ssl.create_default_context(cafile=str(cert))
    with trio.fail_after(10):
        while not await answers(stand):
            pass
        raw = await trio.open_tcp_stream(stand.address, 7687)
        secure = trio.SSLStream(raw, context, server_hostname="localhost", https_compatible=True)
        connection = BoltConnection(secure)  # type: ignore[arg-type]  # it reads and writes as well
        await connection.greet()
        assert await connection.run("RETURN 1") == [[1]]
        raw.socket.close()
        with pytest.raises((ConnectionResetError, AssertionError, trio.BrokenResourceError)):
            await stand.connect()


async def test_managed_instance_takes_no_manual_changes(world: World) -> None:
    """MEMGRAPH 2.4: with a management port only a coordinator may change roles and replicas."""
    stand = await world.stand("s", "--management-port=1").start()
    for query, what in (
        ("SET REPLICATION ROLE TO MAIN", "set role"),
        ("SET REPLICATION ROLE TO REPLICA WITH PORT 10000", "set role"),
        ('REGISTER REPLICA r SYNC TO "127.0.0.9"', "register replica"),
        ("DROP REPLICA r", "drop replica"),
    ):
        refusal = await stand.refused(query)
        expected = f"Can't {what} manually on instance with coordinator server port."
        assert refusal.message == expected
