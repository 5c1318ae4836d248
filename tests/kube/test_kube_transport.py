"""The transport on real sockets: each thing that can go wrong has the error that says so."""

import gc
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio_asyncio
from kube_rooms import MAPS, Server, client_of, config_map, kubeconfig, wait_until

from controller.errors import (
    KubeForbidden,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    WatchExpired,
)
from controller.kube import AnswerLost, ClientConfig, Transport, Watch, open_client
from controller.kube.transport import Json, refusal_of, retry_after_s
from controller.sandbox.apiserver import CONFIGMAPS, Mode, Rule

PATIENCE_S = 0.5  # our own time limit in the tests; a round trip takes 2 ms


async def create(transport: Transport, name: str = "x") -> Json:
    """A ConfigMap."""
    return await transport.request("POST", MAPS, body=config_map(name, k="v"))


async def open_watch(transport: Transport, idle_s: float = 20.0) -> Watch:
    """A watch of all ConfigMaps from now on."""
    listed = await transport.request("GET", MAPS)
    query = {"resourceVersion": listed["metadata"]["resourceVersion"]}
    return await transport.watch(MAPS, query, 5.0, idle_s)


# -- answers


async def test_objects_come_as_they_are(transport: Transport) -> None:
    """A request's answer is the server's object."""
    made = await create(transport)
    assert (await transport.request("GET", f"{MAPS}/x")) == made
    listed = await transport.request("GET", MAPS, {"fieldSelector": "metadata.name=x"})
    assert [o["data"] for o in listed["items"]] == [{"k": "v"}]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, KubeRefused),
        (401, KubeForbidden),
        (403, KubeForbidden),
        (409, KubeRefused),
        (429, KubeUnavailable),
        (500, KubeUnavailable),
        (503, KubeUnavailable),
        (504, KubeUnavailable),
    ],
)
async def test_refused_reads(
    transport: Transport, server: Server, status: int, error: type[Exception]
) -> None:
    """Each status has its error; the message names verb, resource and status."""
    server.faults.add(Rule("fail", status=status))
    with pytest.raises(error, match=f"get configmaps/x: {status}") as caught:
        await transport.request("GET", f"{MAPS}/x")
    assert not isinstance(caught.value, AnswerLost)


@pytest.mark.parametrize(("status", "is_lost"), [(409, False), (429, False), (500, True)])
async def test_refused_writes(
    transport: Transport, server: Server, status: int, is_lost: bool
) -> None:
    """5xx to a write is no proof that it did not happen; 4xx is."""
    server.faults.add(Rule("fail", status=status))
    with pytest.raises((KubeRefused, KubeUnavailable)) as caught:
        await create(transport)
    assert isinstance(caught.value, AnswerLost) == is_lost


async def test_missing_object(transport: Transport) -> None:
    """404 is an error of its own."""
    with pytest.raises(KubeNotFound):
        await transport.request("GET", f"{MAPS}/nothing")


async def test_retry_after_is_told(transport: Transport, server: Server) -> None:
    """The server's wish reaches whoever decides when to try again."""
    server.faults.add(Rule("fail", status=429, retry_after_s=7))
    with pytest.raises(KubeUnavailable) as caught:
        await transport.request("GET", MAPS)
    assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("99999", 60.0), ("-1", None), ("Sun, 01 Jan", None), (None, None), ("nan", None)],
)
def test_retry_after_is_read_with_suspicion(header: str | None, seconds: float | None) -> None:
    """Only a positive number counts, and none silences us for more than a minute."""
    assert retry_after_s(header) == seconds


def test_410_is_expiry() -> None:
    """A list whose continuation is too old says the same as a watch."""
    assert isinstance(refusal_of(410, "Expired", "list x", is_write=False), WatchExpired)


async def test_unknown_token_is_forbidden(server: Server) -> None:
    """401 becomes KubeForbidden."""
    async with client_of(server, "no-such-token") as transport:
        with pytest.raises(KubeForbidden, match="401"):
            await transport.request("GET", MAPS)


# -- no answer


async def test_nobody_listens(server: Server, unused_url: str) -> None:
    """A refused connection is definite, for a write too."""
    path = server.folder / "nobody"
    path.write_text(str(kubeconfig(unused_url, "t")).replace("'", '"'))
    async with trio_asyncio.open_loop(), open_client(ClientConfig(str(path))) as transport:
        with pytest.raises(KubeUnavailable) as caught:
            await create(transport)
    assert not isinstance(caught.value, AnswerLost)
    assert caught.value.__cause__ is not None


@pytest.fixture
async def unused_url() -> AsyncIterator[str]:
    """A port that is bound, so that nobody else gets it, and not listened at."""
    with trio.socket.socket() as sock:
        await sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


async def test_silence_is_bounded_and_unknown_for_writes(
    transport: Transport, server: Server
) -> None:
    """A frozen server costs our own time limit; it executes late, so we could not know."""
    server.faults.set_mode(Mode.FROZEN)
    with trio.fail_after(5):
        with pytest.raises(AnswerLost, match="no answer within"):
            await transport.request("POST", MAPS, body=config_map("x"), timeout_s=PATIENCE_S)
        with pytest.raises(KubeUnavailable) as caught:
            await transport.request("GET", MAPS, timeout_s=PATIENCE_S)
    assert not isinstance(caught.value, AnswerLost)
    server.faults.set_mode(Mode.OPEN)
    await wait_until(lambda: server.store.has(CONFIGMAPS, "default", "x"))


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_write_on_a_kept_connection_that_breaks_is_not_repeated(
    transport: Transport, server: Server, method: str
) -> None:
    """The HTTP client would by itself send it again, and report a conflict with its own success."""
    made = await create(transport)
    revision = server.store.revision
    server.faults.add(Rule("lose_reply"))
    with pytest.raises(AnswerLost):
        await transport.request(method, f"{MAPS}/x", body=made | {"data": {"k": "w"}})
    assert server.store.revision == revision + 1


async def test_read_on_a_connection_that_breaks(transport: Transport, server: Server) -> None:
    """A server that went away between two requests is unavailable, and back when it is back."""
    await create(transport)
    server.faults.set_mode(Mode.DOWN)
    with pytest.raises(KubeUnavailable):
        await transport.request("GET", MAPS)
    server.faults.set_mode(Mode.OPEN)
    assert await transport.request("GET", f"{MAPS}/x")


async def test_cancelled_request_returns_at_once(transport: Transport, server: Server) -> None:
    """Our callers' deadlines hold although the server is silent, and the client stays usable."""
    await create(transport)
    server.faults.set_mode(Mode.PARTITIONED)
    for _ in range(5):
        with trio.fail_after(5), trio.move_on_after(0.02) as scope:
            await transport.request("GET", MAPS, timeout_s=30)
        assert scope.cancelled_caught
    server.faults.set_mode(Mode.OPEN)
    assert await transport.request("GET", f"{MAPS}/x")


# -- watches


async def test_watch_shows_what_follows_the_list(transport: Transport) -> None:
    """Each change arrives with its type."""
    watch = await open_watch(transport)
    made = await create(transport)
    await transport.request("PUT", f"{MAPS}/x", body=made | {"data": {"k": "w"}})
    await transport.request("DELETE", f"{MAPS}/x")
    assert [(await anext(watch))["type"] for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]
    await watch.aclose()
    await watch.aclose()


async def test_expired_watch(transport: Transport, server: Server) -> None:
    """410 inside of HTTP 200 is WatchExpired."""
    first = await create(transport)
    await create(transport, "y")
    server.store.compact()
    query = {"resourceVersion": first["metadata"]["resourceVersion"]}
    watch = await transport.watch(MAPS, query, 5.0, 20.0)
    with pytest.raises(WatchExpired, match="watch configmaps: 410"):
        await anext(watch)
    await watch.aclose()


async def test_cut_watch(transport: Transport, server: Server) -> None:
    """A stream that breaks is unavailability, with its cause."""
    watch = await open_watch(transport)
    server.faults.cut()
    with pytest.raises(KubeUnavailable) as caught:
        await anext(watch)
    assert caught.value.__cause__ is not None
    await watch.aclose()


async def test_half_open_watch(transport: Transport, server: Server) -> None:
    """A server that stopped without closing is found by silence."""
    watch = await open_watch(transport, idle_s=PATIENCE_S)
    server.faults.set_mode(Mode.FROZEN)
    with trio.fail_after(5), pytest.raises(KubeUnavailable):
        await anext(watch)
    await watch.aclose()
    server.faults.set_mode(Mode.OPEN)


async def test_watch_that_the_server_ends(transport: Transport) -> None:
    """The server's own timeout is a proper end."""
    watch = await transport.watch(
        MAPS, {"resourceVersion": "1", "timeoutSeconds": "1"}, 5.0, idle_timeout_s=20.0
    )
    assert await anext(watch, None) is None
    await watch.aclose()


async def test_watch_that_is_never_established(transport: Transport, server: Server) -> None:
    """Connecting to a frozen server is bounded too."""
    server.faults.set_mode(Mode.FROZEN)
    with trio.fail_after(5), pytest.raises(KubeUnavailable, match="watch configmaps: no answer"):
        await transport.watch(MAPS, {"resourceVersion": "1"}, PATIENCE_S, 20.0)
    server.faults.set_mode(Mode.OPEN)


async def test_forbidden_watch(transport: Transport, server: Server) -> None:
    """A refusal to watch is as clear as one to read."""
    server.faults.add(Rule("fail", verb="watch", status=403))
    with pytest.raises(KubeForbidden, match="watch configmaps: 403"):
        await open_watch(transport)


async def test_many_cancelled_watches_leave_nothing_open(
    transport: Transport, server: Server
) -> None:
    """No watch survives its reader on the server, and no warning is left for the collector."""
    for _ in range(30):
        watch = await open_watch(transport)
        with trio.move_on_after(0.001):
            await anext(watch)
        await watch.aclose()
    await wait_until(lambda: server.faults.as_json()["watches"] == [])
    gc.collect()


# -- the way in


async def test_no_configuration_is_unavailable(tmp_path: Path) -> None:
    """A missing or broken kubeconfig is an error of ours, with the path in it."""
    broken = tmp_path / "broken"
    broken.write_text("clusters: 7")
    for path in (str(tmp_path / "none"), str(broken)):
        with pytest.RaisesGroup(KubeUnavailable, flatten_subgroups=True):
            async with trio_asyncio.open_loop(), open_client(ClientConfig(path)):
                raise AssertionError("not reached")


async def test_stray_asyncio_failures_do_not_end_the_process(transport: Transport) -> None:
    """What nobody awaits in asyncio is logged; trio-asyncio by itself would raise it here."""
    loop = trio_asyncio.current_loop.get()
    loop.call_exception_handler({"message": "Unclosed client session"})
    assert await create(transport)


def test_import_is_cheap() -> None:
    """Commands that need no API server do not pay for its client."""
    code = (
        "import sys, controller.kube; "
        "heavy = {'kubernetes', 'aiohttp', 'trio_asyncio', 'pydantic'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
