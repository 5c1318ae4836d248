"""Pods end by UID, tokens never go down, and a withdrawal holds."""

from typing import Any

import pytest
import trio
from fake_api import FakeApi, Trouble
from kube_rooms import MAPS, NAMES, PODS, TIMES, Server, pod
from trio.testing import MockClock

from controller.errors import CommandOutcomeUnknown, KubeForbidden, KubeNotFound
from controller.kube import KubePodControl, Transport
from controller.sandbox.apiserver import Rule
from statemachine.ids import Instance

MAIN = Instance("mg-memgraph-0")


@pytest.fixture
def pods(transport: Transport) -> KubePodControl:
    return KubePodControl(transport, NAMES, TIMES)


async def uid_of(transport: Transport) -> str:
    made = await transport.request("POST", PODS, body=pod(MAIN))
    return str(made["metadata"]["uid"])


async def tokens(transport: Transport) -> Any:
    found = await transport.request("GET", f"{MAPS}/mg-reset")
    return found.get("data", {})


async def test_delete_only_this_incarnation(pods: KubePodControl, transport: Transport) -> None:
    """Another UID under the same name stays; the right one is ended."""
    uid = await uid_of(transport)
    await pods.delete_pod(MAIN, "another")
    untouched = await transport.request("GET", f"{PODS}/{MAIN}")
    assert "deletionTimestamp" not in untouched["metadata"]
    await pods.delete_pod(MAIN, uid)
    try:
        ended = await transport.request("GET", f"{PODS}/{MAIN}")
    except KubeNotFound:
        return
    assert "deletionTimestamp" in ended["metadata"]


async def test_an_end_that_must_not_wait_names_its_grace(
    pods: KubePodControl, transport: Transport
) -> None:
    """The preStop hook of a pod that blocks a change of main would wait for that very change."""
    uid = await uid_of(transport)
    await transport.request(
        "POST", f"{PODS}/{MAIN}/binding", body={"target": {"kind": "Node", "name": "n"}}
    )
    await pods.delete_pod(MAIN, uid, grace_s=1)
    ended = await transport.request("GET", f"{PODS}/{MAIN}")
    assert ended["metadata"]["deletionGracePeriodSeconds"] == 1


async def test_a_pod_that_is_gone_is_success(pods: KubePodControl) -> None:
    """Nothing to delete is what was wanted."""
    await pods.delete_pod(MAIN, "gone")


async def test_a_lost_deletion_is_unknown(
    pods: KubePodControl, transport: Transport, server: Server
) -> None:
    """A deletion without an answer is not "unreachable": it may have happened."""
    uid = await uid_of(transport)
    server.faults.add(Rule("lose_reply", verb="delete"))
    with pytest.raises(CommandOutcomeUnknown):
        await pods.delete_pod(MAIN, uid)


async def test_forbidden_deletion_names_verb_and_resource(
    pods: KubePodControl, server: Server
) -> None:
    """Who reads the error knows which permission is missing."""
    server.faults.add(Rule("fail", verb="delete", status=403))
    with pytest.raises(KubeForbidden, match=f"delete pods/{MAIN}"):
        await pods.delete_pod(MAIN, "any")


async def test_tokens_go_up_only(pods: KubePodControl, transport: Transport) -> None:
    """A lower token changes nothing, a higher one does, another instance's is kept."""
    await pods.write_reset_token(MAIN, 7)
    await pods.write_reset_token(Instance("mg-memgraph-1"), 3)
    await pods.write_reset_token(MAIN, 5)
    assert await tokens(transport) == {MAIN: "7", "mg-memgraph-1": "3"}
    await pods.write_reset_token(MAIN, 9)
    await pods.withdraw_reset_token(Instance("mg-memgraph-1"))
    assert await tokens(transport) == {MAIN: "9"}


async def test_released_copies_stand_beside_the_tokens(
    pods: KubePodControl, transport: Transport, server: Server
) -> None:
    """All that are released, told once: the same list again writes nothing; tokens are kept."""
    await pods.write_reset_token(MAIN, 30)
    await pods.release_copies(MAIN, (9, 12))
    assert await tokens(transport) == {MAIN: "30", f"{MAIN}.released": "9 12"}
    server.faults.add(Rule("fail", verb="update", status=403))
    await pods.release_copies(MAIN, (9, 12))
    with pytest.raises(KubeForbidden):
        await pods.release_copies(MAIN, (9, 12, 30))


async def test_a_conflict_is_tried_again(
    pods: KubePodControl, transport: Transport, server: Server
) -> None:
    """Another writer in between does not lose the token."""
    await pods.write_reset_token(MAIN, 1)
    server.faults.add(Rule("fail", verb="update", status=409, count=2))
    await pods.write_reset_token(MAIN, 2)
    assert await tokens(transport) == {MAIN: "2"}


@pytest.mark.parametrize("had_map", [False, True])
async def test_a_late_token_does_not_survive_its_withdrawal(
    nursery: trio.Nursery, autojump_clock: MockClock, had_map: bool
) -> None:
    """F17: a token's write hangs in the API server; the token is withdrawn; the write lands late
    and is refused, also when there was nothing to remove, or no ConfigMap at all."""
    api = FakeApi(nursery, late_s=60.0)
    pods = KubePodControl(api.client(), NAMES, TIMES)
    if had_map:
        await pods.write_reset_token(Instance("mg-memgraph-1"), 1)
    api.fault = lambda _, method: None if method == "GET" else Trouble.LATE
    with pytest.raises(CommandOutcomeUnknown):
        await pods.write_reset_token(MAIN, 7)
    api.fault = lambda *_: None
    await pods.withdraw_reset_token(MAIN)
    await trio.sleep(120)
    assert MAIN not in await tokens(api.client())
