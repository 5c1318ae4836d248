"""The plain parts of the node stand-in, by table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from controller.sandbox.apiserver import PODS, ApiError, Object, Store
from controller.sandbox.kubelet.containers import (
    BadSpec,
    Container,
    Running,
    Terminated,
    Waiting,
    command_of,
    exit_code_of,
    expanded,
)
from controller.sandbox.kubelet.mirror import Mirror
from controller.sandbox.kubelet.pod import PodWorker, Settings
from controller.sandbox.kubelet.ports import InProcess
from controller.sandbox.kubelet.probes import port_of
from controller.sandbox.kubelet.sources import environment
from controller.sandbox.kubelet.status import Seen, compose

NOW = "2026-11-21T00:00:00Z"
LATER = "2026-11-21T00:01:00Z"
ENDED = Terminated(1, NOW, NOW)
DONE = Terminated(0, NOW, NOW)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)/$(B)", "1/2"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$A ${A} $()", "$A ${A} $()"),
    ],
)
def test_expansion(text: str, result: str) -> None:
    """$(NAME) is replaced as Kubernetes does it; everything else stays."""
    assert expanded(text, {"A": "1", "B": "2"}) == result


def test_environment_and_command() -> None:
    """Later entries may use earlier ones, and the command may use all."""
    spec: dict[str, Any] = {
        "command": ["run", "--data=$(SANDBOX_DATA_DIR)"],
        "args": ["$(NAME)"],
        "env": [
            {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "NAME", "value": "$(UID)@$(SANDBOX_POD_IP)"},
            {"name": "EMPTY"},
        ],
    }
    pod = {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": {}}
    env = environment(pod, spec, "127.0.0.9", Path("/data"))
    assert command_of(spec, env) == ["run", "--data=/data", "u@127.0.0.9"]
    assert env["EMPTY"] == ""
    with pytest.raises(BadSpec, match="no command"):
        command_of({"args": ["x"]}, env)


@pytest.mark.parametrize(("returncode", "code"), [(0, 0), (3, 3), (-9, 137), (-15, 143)])
def test_exit_codes(returncode: int, code: int) -> None:
    """The end by a signal is 128 and the signal."""
    assert exit_code_of(returncode) == code


def test_ports_by_name() -> None:
    """A probe may name a port of its container."""
    box = {"ports": [{"name": "bolt", "containerPort": 7687}]}
    assert (port_of(box, "bolt"), port_of(box, 80)) == (7687, 80)
    with pytest.raises(BadSpec):
        port_of(box, "web")


def seen(*boxes: Container, **fields: Any) -> Seen:
    """Return what is known of a pod with these containers."""
    known: dict[str, Any] = {
        "address": "127.0.0.9",
        "started_at": NOW,
        "now": NOW,
        "initialized": True,
        "is_over": False,
        "containers": boxes,
        "init_containers": (),
        "previous": (),
    }
    return Seen(**{**known, **fields})


def box(state: Waiting | Running | Terminated, **fields: Any) -> Container:
    """Return a container in this state."""
    return Container({"name": "c"}, state=state, **fields)


@pytest.mark.parametrize(
    ("state", "last", "is_over", "phase"),
    [
        (Waiting("ContainerCreating"), None, False, "Pending"),
        (Waiting("CreateContainerConfigError"), None, False, "Pending"),
        (Running(NOW, 1), None, False, "Running"),
        (Waiting("CrashLoopBackOff"), ENDED, False, "Running"),
        (ENDED, None, False, "Running"),
        (ENDED, None, True, "Failed"),
        (DONE, None, True, "Succeeded"),
    ],
)
def test_pod_phase(state: Any, last: Terminated | None, is_over: bool, phase: str) -> None:
    """A pod runs from its first start until nothing will be started again."""
    assert compose(seen(box(state, last=last), is_over=is_over))["phase"] == phase


def test_pod_is_ready_when_all_containers_are() -> None:
    """One container that is not ready makes the pod not ready."""
    one, other = box(Running(NOW, 1), ready=True), box(Running(NOW, 2))

    def ready() -> str:
        conditions = compose(seen(one, other))["conditions"]
        return next(str(entry["status"]) for entry in conditions if entry["type"] == "Ready")

    assert ready() == "False"
    other.ready = True
    assert ready() == "True"


def test_condition_keeps_the_time_of_its_last_change() -> None:
    """Only what changes gets the new time; the same knowledge gives the same status."""
    container = box(Running(NOW, 1), ready=True)
    before = compose(seen(container))
    same = compose(seen(container, now=LATER, previous=tuple(before["conditions"])))
    assert same == before
    container.ready = False
    after = compose(seen(container, now=LATER, previous=tuple(before["conditions"])))
    times = {entry["type"]: entry["lastTransitionTime"] for entry in after["conditions"]}
    assert (times["Ready"], times["PodScheduled"]) == (LATER, NOW)


class Forgetful(InProcess):
    """An API that refuses its first list and counts the others."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.store, self.lists = store, 0

    async def select(self, kind: Any) -> tuple[list[Object], int]:
        self.lists += 1
        if self.lists == 1:
            raise ApiError(503, "ServiceUnavailable", "not yet")
        return await super().select(kind)


async def test_mirror_lists_again_when_it_came_too_late(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """After a refusal and after a 410 the mirror is the state again, deletions included."""
    store = Store()
    api = Forgetful(store)
    pod = {"spec": {"containers": [{"name": "c"}]}}
    store.create(PODS, "default", {"metadata": {"name": "a"}, **pod})
    mirror = Mirror(api, PODS, lambda: None)
    with trio.fail_after(10):
        await nursery.start(mirror.run)
        assert list(mirror.objects) == [("default", "a")]
        store.delete(PODS, "default", "a")
        store.create(PODS, "default", {"metadata": {"name": "b"}, **pod})
        store.compact()  # before the mirror could read either
        while list(mirror.objects) != [("default", "b")]:
            await trio.testing.wait_all_tasks_blocked()
    assert api.lists == 3


async def test_status_is_written_to_its_own_incarnation_only() -> None:
    """A status for a former UID is refused, so a late one cannot hit the successor."""
    store = Store()
    api = InProcess(store)
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
    former = await api.create(PODS, "default", body)
    await api.delete(PODS, "default", "p", uid=former["metadata"]["uid"])
    await api.create(PODS, "default", body)
    with pytest.raises(ApiError, match="409"):
        await api.write_status(PODS, former, {"phase": "Running"})
    with pytest.raises(ApiError, match="409"):
        await api.delete(PODS, "default", "p", uid=former["metadata"]["uid"])


async def test_worker_waits_for_the_former_incarnation(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Nothing starts, and nothing counts as ended, before the former one of the name has ended."""
    store = Store()
    settings = Settings(tmp_path, lambda name: "127.0.0.9", {})
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "command": ["true"]}]}}
    pod = store.create(PODS, "default", body)
    former = PodWorker(pod, InProcess(store), settings, None)
    waiting = PodWorker(pod, InProcess(store), settings, former)
    nursery.start_soon(waiting.run)
    with trio.fail_after(10):
        await trio.testing.wait_all_tasks_blocked()
        assert "nodeName" not in store.get(PODS, "default", "p")["spec"]
        waiting.removed()
        await trio.testing.wait_all_tasks_blocked()
        assert not waiting.ended.is_set()
        former.ended.set()
        await waiting.ended.wait()


async def test_worker_goes_on_once_the_former_incarnation_has_ended(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """The end of the former one lets the next one begin."""
    store = Store()
    settings = Settings(tmp_path, lambda name: "127.0.0.9", {})
    box = {"name": "c", "command": ["true"]}
    body = {"metadata": {"name": "p"}, "spec": {"containers": [box], "restartPolicy": "Never"}}
    pod = store.create(PODS, "default", body)
    former = PodWorker(pod, InProcess(store), settings, None)
    nursery.start_soon(PodWorker(pod, InProcess(store), settings, former).run)
    with trio.fail_after(10):
        await trio.testing.wait_all_tasks_blocked()
        former.ended.set()
        while store.get(PODS, "default", "p")["status"]["phase"] != "Succeeded":
            await store.wait_changed(store.revision)
