"""Requests to the API server are counted by what they were about and what became of them."""

from collections.abc import Mapping
from typing import Any

import pytest

from controller.errors import ControllerError, KubeForbidden, KubeRefused, KubeUnavailable
from controller.kube import AnswerLost, CountedTransport, KubeNames
from controller.kube.transport import Json, Watch
from controller.measures import KubeTally

NAMES = KubeNames("mg", "db", "mg-memgraph", "controller-0", "uid")
MAPS, LEASES = NAMES.config_maps_path, NAMES.leases_path


class Scripted:
    """Answers everything alike."""

    def __init__(self, error: ControllerError | None = None) -> None:
        self.error = error

    async def request(self, *_: Any, **__: Any) -> Json:
        if self.error is not None:
            raise self.error
        return {"ok": True}

    async def watch(self, path: str, query: Mapping[str, str], *_: float) -> Watch:
        if self.error is not None:
            raise self.error
        return None  # type: ignore[return-value]


async def ask(
    method: str, path: str, body: Json | None = None, error: ControllerError | None = None
) -> KubeTally:
    """What one request leaves in the tally."""
    tally = KubeTally()
    transport = CountedTransport(Scripted(error), NAMES, tally)
    if error is None:
        assert await transport.request(method, path, None, body) == {"ok": True}
    else:
        with pytest.raises(type(error)) as caught:
            await transport.request(method, path, None, body)
        assert caught.value is error
    return tally


@pytest.mark.parametrize(
    ("method", "path", "name", "expected"),
    [
        ("GET", f"{MAPS}/mg-ledger", "", ("get", "ledger")),
        ("PUT", f"{MAPS}/mg-ledger", "mg-ledger", ("update", "ledger")),
        ("POST", MAPS, "mg-ledger", ("create", "ledger")),
        ("POST", MAPS, "mg-ledger-000007", ("create", "archive")),
        ("PUT", f"{MAPS}/mg-reset", "", ("update", "reset")),
        ("PUT", f"{MAPS}/mg-requests", "", ("update", "requests")),
        ("GET", f"{MAPS}/of-somebody-else", "", ("get", "other")),
        ("PUT", f"{LEASES}/mg-leader", "", ("update", "leader_lease")),
        ("PUT", f"{LEASES}/mg-gateway-controller-0", "", ("update", "gateway_lease")),
        ("GET", LEASES, "", ("list", "gateway_lease")),
        ("DELETE", f"{NAMES.pods_path}/mg-memgraph-0", "", ("delete", "pods")),
        ("POST", "/api/v1/namespaces/db/events", "mg-ledger.1", ("create", "events")),
    ],
)
async def test_names_become_words(
    method: str, path: str, name: str, expected: tuple[str, str]
) -> None:
    """Verb and object are words of closed lists; a stranger's name becomes no label."""
    body = {"metadata": {"name": name}} if name else None
    tally = await ask(method, path, body)
    assert tally.requests == {(*expected, "ok"): 1}


@pytest.mark.parametrize(
    ("error", "outcome", "append"),
    [
        (KubeRefused("x", 409), "conflict", "conflict"),
        (KubeRefused("x", 422), "refused", "refused"),
        (AnswerLost("x"), "lost", "unknown"),
        (KubeUnavailable("x"), "unavailable", "unavailable"),
        (KubeForbidden("x"), "forbidden", "forbidden"),
    ],
)
async def test_failures_go_through_and_are_told_apart(
    error: ControllerError, outcome: str, append: str
) -> None:
    """The same error object reaches the caller; a write of the ledger is counted twice, by itself
    and among all requests."""
    tally = await ask("PUT", f"{MAPS}/mg-ledger", None, error)
    assert tally.requests == {("update", "ledger", outcome): 1}
    assert tally.appends == {append: 1}
    assert not (await ask("GET", f"{MAPS}/mg-ledger", None, error)).appends


async def test_watches_are_counted_by_their_selector() -> None:
    """The watch of the ledger and that of the requests are one collection, told by the name."""
    tally = KubeTally()
    transport = CountedTransport(Scripted(), NAMES, tally)
    for name in ("mg-ledger", "mg-requests"):
        await transport.watch(MAPS, {"fieldSelector": f"metadata.name={name}"}, 1.0, 1.0)
    expected = {("watch", "ledger", "ok"): 1, ("watch", "requests", "ok"): 1}
    assert tally.requests == expected
