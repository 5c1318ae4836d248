"""Kubernetes Events on an API server (the stand-in), as kubectl shows them."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve
from kube_rooms import MAPS, NAMES, PODS, TIMES, Server, config_map, pod

from controller.announcer import Place
from controller.errors import KubeForbidden, KubeNotFound, KubeRefused
from controller.kube import KubeEvents, Transport
from controller.notices import WARNING, Notice
from controller.sandbox.apiserver import Rule, serve

MAIN = "mg-memgraph-0"
EVENTS = "/api/v1/namespaces/default/events"
NOTICE = Notice("MainLost", "the main is silent [entry 7, term 3, head abc]", WARNING)
SEARCH = [str(Path(sys.prefix) / "kube"), os.environ.get("PATH", "")]
KUBECTL = shutil.which("kubectl", path=os.pathsep.join(SEARCH))


@pytest.fixture
async def board(transport: Transport) -> KubeEvents:
    """The adapter, and a ledger to announce at."""
    await transport.request("POST", MAPS, body=config_map(NAMES.ledger, a="b"))
    return KubeEvents(transport, NAMES, TIMES)


async def made_pod(transport: Transport) -> Place:
    """A pod to announce at."""
    made = await transport.request("POST", PODS, body=pod(MAIN))
    return Place(MAIN, made["metadata"]["uid"])


async def stored(transport: Transport) -> list[Any]:
    """All Events."""
    return list((await transport.request("GET", EVENTS))["items"])


async def test_an_event_names_its_object_by_uid(board: KubeEvents, transport: Transport) -> None:
    """Name, UID, reason, weight and text are what `kubectl describe` looks for; the release's own
    label is on it."""
    place = await made_pod(transport)
    await board.post(Place(), NOTICE)
    await board.post(place, NOTICE)
    ledger = await transport.request("GET", f"{MAPS}/{NAMES.ledger}")
    at_ledger, at_pod = sorted(await stored(transport), key=lambda e: e["involvedObject"]["kind"])
    assert at_ledger["involvedObject"]["uid"] == ledger["metadata"]["uid"]
    assert at_pod["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": MAIN,
        "namespace": "default",
        "uid": place.uid,
    }
    for event in (at_ledger, at_pod):
        assert (event["reason"], event["type"], event["count"]) == ("MainLost", "Warning", 1)
        assert event["message"] == NOTICE.text
        assert event["source"]["host"] == NAMES.pod_name
        assert event["metadata"]["labels"]["memgraph-controller/release"] == "mg"


async def test_told_again_it_is_the_same_object(board: KubeEvents, transport: Transport) -> None:
    """A patch of count, text and time; the first time stays. A forgotten one is KubeNotFound."""
    name = await board.post(Place(), NOTICE)
    first = (await stored(transport))[0]
    await board.repeat(name, 5, "again")
    (event,) = await stored(transport)
    assert (event["count"], event["message"]) == (5, "again")
    assert event["firstTimestamp"] == first["firstTimestamp"]
    with pytest.raises(KubeNotFound):
        await board.repeat("never-posted", 2, "again")


async def test_the_same_entry_is_announced_once(
    board: KubeEvents, transport: Transport, server: Server
) -> None:
    """Whoever announces it, and however often: its name is the entry's own. Another refusal of the
    API server is none of that kind."""
    notice = evolve(NOTICE, id="0123456789abcdef")
    first = await board.post(Place(), notice)
    assert await board.post(Place(), notice) == first == f"{NAMES.ledger}.0123456789abcdef"
    assert len(await stored(transport)) == 1
    server.faults.add(Rule("fail", verb="create", resource="events", status=422))
    with pytest.raises(KubeRefused):
        await board.post(Place(), NOTICE)


async def test_without_the_right_it_is_forbidden(board: KubeEvents, server: Server) -> None:
    """403 comes as what it is; the announcer then keeps quiet."""
    server.faults.add(Rule("fail", verb="create", resource="events", status=403))
    with pytest.raises(KubeForbidden):
        await board.post(Place(), NOTICE)


@pytest.mark.helm
@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl: ./scripts/kube/clients fetches it")
async def test_kubectl_describe_shows_it(
    board: KubeEvents, transport: Transport, server: Server, nursery: trio.Nursery
) -> None:
    """An operator who describes the ledger or the pod sees reason and sentence."""
    await board.post(Place(), NOTICE)
    await board.post(await made_pod(transport), Notice("SyncLost", "it is silent", WARNING))
    door = partial(serve, server.store, "127.0.0.1", 0, anonymous_user="kubectl")
    url = await nursery.start(door)  # kubectl shows no token over plain HTTP
    for what, reason in ((f"configmap/{NAMES.ledger}", "MainLost"), (f"pod/{MAIN}", "SyncLost")):
        words = [str(KUBECTL), "--server", url, "describe", what]
        env = {**os.environ, "HOME": str(server.folder)}
        done = await trio.run_process(
            words, capture_stdout=True, stderr=subprocess.STDOUT, env=env, check=False
        )
        shown = done.stdout.decode()
        assert done.returncode == 0, shown
        assert "Events:" in shown
        assert reason in shown.split("Events:")[1]
    nursery.cancel_scope.cancel()
