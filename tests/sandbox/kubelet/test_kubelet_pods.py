"""Pods are processes: what they are given, how they are watched, and how they end."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import trio
from node_rooms import (
    DOOR,
    POLITE,
    PORT,
    SLEEP,
    STUBBORN,
    WEB,
    Node,
    container,
    eventually,
    is_alive,
    is_ready,
    is_running,
    pod,
    python,
    text_of,
)

from controller.sandbox.apiserver import NODES, PODS, Deletion, Store
from controller.sandbox.kubelet import InProcess, NotRunning, run_kubelet

FORCED = Deletion(grace_s=0)
TCP = {"tcpSocket": {"port": "bolt"}, "failureThreshold": 1}
BOLT = [{"name": "bolt", "containerPort": PORT}]


async def started(node: Node, name: str, program: str, **spec: object) -> dict[str, Any]:
    """Create a pod of this program and return it once the program has said that it is up."""
    node.create(pod(name, container(python(program)), **spec))
    await eventually(lambda: text_of(node.data(name) / "up"))
    return await node.wait_pod(name, is_running)


async def test_pod_runs_with_its_address_and_environment(node: Node) -> None:
    """A pod is bound, started with its env in its data directory, and its output is logged."""
    program = "import os; print(os.environ['WHO'], os.environ['AT'], os.getcwd())"
    env = [
        {"name": "AT", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "WHO", "value": "$(SANDBOX_POD_NAME) $(AT) $(NOBODY) $$"},
    ]
    body = pod("p-0", container(python(program), env=env), restartPolicy="Never")
    node.create(body)
    done = await node.wait_pod("p-0", lambda found: found["status"]["phase"] == "Succeeded")
    address = node.address_of("p-0")
    assert done["spec"]["nodeName"] == node.store.select(NODES)[0][0]["metadata"]["name"]
    assert done["status"]["podIP"] == address
    assert done["status"]["podIPs"] == [{"ip": address}]
    log = node.kubelet.log_path("p-0").read_text()
    assert log == f"p-0 {address} $(NOBODY) $ {address} {node.data('p-0')}\n"


async def test_pod_without_a_probe_is_ready_when_it_runs(node: Node) -> None:
    """Without a readiness probe a running container is ready; its start is recorded."""
    node.create(pod("p", container(SLEEP)))
    found = await node.wait_pod("p", is_ready)
    status = found["status"]["containerStatuses"][0]
    assert found["status"]["phase"] == "Running"
    assert (status["ready"], status["restartCount"]) == (True, 0)
    assert status["state"]["running"]["startedAt"].endswith("Z")


def hook(program: str) -> dict[str, Any]:
    """A preStop hook that runs this program."""
    return {"preStop": {"exec": {"command": python(program)}}}


WAITS_FOR_GO = """
import pathlib, time
pathlib.Path("asked").write_text("asked")
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""


async def test_the_hook_ends_before_the_container_is_told(node: Node) -> None:
    """A deleted pod runs on, and is not told, while its preStop hook waits."""
    box = container(python(POLITE), lifecycle=hook(WAITS_FOR_GO))
    node.create(pod("p", box, terminationGracePeriodSeconds=10))
    await eventually(lambda: text_of(node.data("p") / "up"))
    pid = node.kubelet.pid("p")
    node.store.delete(PODS, "default", "p", Deletion())
    await eventually(lambda: text_of(node.data("p") / "asked"))
    assert is_alive(pid)
    assert not text_of(node.data("p") / "bye")
    (node.data("p") / "go").write_text("go")
    await node.wait_gone("p")
    assert text_of(node.data("p") / "bye") == "bye"


async def test_a_hook_that_does_not_end_is_ended_with_its_grace(node: Node) -> None:
    """The hook is part of the grace, and leaves no process behind; a force deletion skips it."""
    told = "import os, pathlib; pathlib.Path('asked').write_text(str(os.getpid()))"
    endless = f"{told}; import signal; signal.pause()"
    for name, deletion in (("slow", Deletion(grace_s=1)), ("forced", FORCED)):
        box = container(python(STUBBORN), lifecycle=hook(endless))
        node.create(pod(name, box, terminationGracePeriodSeconds=10))
        await eventually(lambda name=name: text_of(node.data(name) / "up"))
        pid = node.kubelet.pid(name)
        node.store.delete(PODS, "default", name, deletion)
        await node.wait_gone(name)
        await eventually(lambda pid=pid: not is_alive(pid))
    assert not is_alive(int(text_of(node.data("slow") / "asked")))
    assert not text_of(node.data("forced") / "asked")


async def test_readiness_follows_a_tcp_port(node: Node) -> None:
    """Ready is True from when the port accepts to when it refuses."""
    box = container(python(DOOR), readinessProbe=TCP, ports=BOLT)
    node.create(pod("p", box))
    await eventually(lambda: text_of(node.data("p") / "up"))
    assert not is_ready(await node.wait_pod("p", is_running))
    node.kubelet.signal("p", signal.SIGUSR1)
    await node.wait_pod("p", is_ready)
    node.kubelet.signal("p", signal.SIGUSR2)
    found = await node.wait_pod("p", lambda found: not is_ready(found))
    assert is_running(found)


@pytest.mark.parametrize(("path", "ready"), [("/ok", True), ("/not-ok", False)])
async def test_readiness_follows_http(node: Node, path: str, ready: bool) -> None:
    """A GET answered with 2xx or 3xx is ready, one answered with 503 is not."""
    probe = {"httpGet": {"port": PORT, "path": path}}
    node.create(pod("p", container(python(WEB), readinessProbe=probe)))
    if ready:
        await node.wait_pod("p", is_ready)
        return
    await node.wait_pod("p", is_running)
    log = node.kubelet.log_path("p")
    await eventually(lambda: text_of(log).count('" 503') >= 3)
    assert not is_ready(node.get("p"))


async def test_killed_container_is_started_again_in_the_same_pod(node: Node) -> None:
    """SIGKILL gives exit code 137, restartCount 1, a new process, and the same UID."""
    first = await started(node, "p", POLITE)
    pid = node.kubelet.pid("p")
    node.kubelet.signal("p", signal.SIGKILL)
    with trio.fail_after(1):
        down = await node.wait_pod("p", lambda found: not is_running(found))
    assert not is_ready(down)
    again = await node.wait_pod("p", is_running)
    status = again["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert again["metadata"]["uid"] == first["metadata"]["uid"]
    assert node.kubelet.pid("p") != pid
    assert not is_alive(pid)


async def test_crash_is_noticed_at_once(node: Node) -> None:
    """Nothing polls for the end of a process: it is known within a few milliseconds."""
    await started(node, "p", POLITE)
    node.kubelet.signal("p", signal.SIGKILL)
    begun_s = trio.current_time()
    await node.wait_pod("p", lambda found: not is_running(found))
    assert trio.current_time() - begun_s < 2.0  # room for a busy machine


async def test_deletion_asks_first(node: Node) -> None:
    """A deleted pod gets SIGTERM, ends by itself, and is then gone from the API."""
    await started(node, "p", POLITE)
    pid = node.kubelet.pid("p")
    node.store.delete(PODS, "default", "p")
    assert node.get("p")["metadata"]["deletionGracePeriodSeconds"] == 30
    await node.wait_gone("p")
    assert (node.data("p") / "bye").read_text() == "bye"
    assert not is_alive(pid)
    with pytest.raises(NotRunning):
        node.kubelet.pid("p")


async def test_deletion_kills_after_the_grace(node: Node) -> None:
    """Who ignores SIGTERM is killed when the grace is over, not before."""
    await started(node, "p", STUBBORN, terminationGracePeriodSeconds=1)
    pid, begun_s = node.kubelet.pid("p"), trio.current_time()
    node.store.delete(PODS, "default", "p")
    await node.wait_gone("p")
    assert 0.9 < trio.current_time() - begun_s < 5
    assert not is_alive(pid)


@pytest.mark.parametrize("deleted_before", [False, True])
async def test_forced_deletion_kills_at_once(node: Node, deleted_before: bool) -> None:
    """Grace 0 ends even who ignores SIGTERM, at once, also in the middle of a longer grace."""
    await started(node, "p", STUBBORN)
    pid = node.kubelet.pid("p")
    if deleted_before:
        node.store.delete(PODS, "default", "p")
        await trio.testing.wait_all_tasks_blocked()
    node.store.delete(PODS, "default", "p", FORCED)
    with trio.fail_after(5):
        await eventually(lambda: not is_alive(pid))


async def test_next_incarnation_waits_for_the_last_one(node: Node) -> None:
    """After a forced deletion the name is taken at once, but its processes never overlap."""
    first = await started(node, "p", POLITE)
    pid = node.kubelet.pid("p")
    for _ in range(2):  # the one between never gets to run
        node.store.delete(PODS, "default", "p", FORCED)
        second = node.create(pod("p", container(SLEEP)))
    await node.wait_pod("p", is_running)
    assert not is_alive(pid)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert (node.data("p") / "up").exists()


async def test_init_containers_come_first_and_in_order(node: Node) -> None:
    """Each runs to its end before the next; one that fails is run again until it succeeds."""
    flaky = "test -e tried && echo two >> order || { touch tried; exit 1; }"
    inits = [
        container(["sh", "-c", "echo one >> order"], name="i1"),
        container(["sh", "-c", flaky], name="i2"),
    ]
    node.create(pod("p", container(SLEEP), initContainers=inits))
    found = await node.wait_pod("p", is_ready)
    assert (node.data("p") / "order").read_text() == "one\ntwo\n"
    counts = [box["restartCount"] for box in found["status"]["initContainerStatuses"]]
    assert counts == [0, 1]


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded")],
)
async def test_pod_that_ends(node: Node, policy: str, code: int, phase: str) -> None:
    """A pod that is not to be started again ends as Succeeded or Failed with its code."""
    node.create(pod("p", container(["sh", "-c", f"exit {code}"]), restartPolicy=policy))
    found = await node.wait_pod("p", lambda found: found["status"]["phase"] == phase)
    ended = found["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == code


async def test_missing_program_is_a_crash_loop(node: Node) -> None:
    """What cannot be started is tried again, with the reason in its status."""
    node.create(pod("p", container(["/no/such/program"])))

    def tried_twice(found: dict[str, Any]) -> bool:
        boxes = found["status"].get("containerStatuses") or [{"restartCount": 0}]
        return bool(boxes[0]["restartCount"])

    found = await node.wait_pod("p", tried_twice)
    last = found["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert "StartError" in last["message"]


@pytest.mark.parametrize(
    "box",
    [
        {"name": "c", "image": "some/image"},
        container(SLEEP, readinessProbe={"grpc": {"port": 1}}),
        container(SLEEP, readinessProbe={"tcpSocket": {"port": "nameless"}}),
        container(SLEEP, env=[{"name": "A", "valueFrom": {"secretKeyRef": {}}}]),
    ],
)
async def test_what_is_not_understood_is_not_started(node: Node, box: dict[str, Any]) -> None:
    """A container that asks for more than is known here waits, with the reason."""
    node.create(pod("p", box))

    def refused(found: dict[str, Any]) -> bool:
        boxes = found["status"].get("containerStatuses") or [{"state": {}}]
        reason = boxes[0]["state"].get("waiting", {}).get("reason")
        return bool(reason == "CreateContainerConfigError")

    await node.wait_pod("p", refused)
    node.store.delete(PODS, "default", "p", FORCED)


async def test_no_child_outlives_the_kubelet(tmp_path: Path) -> None:
    """Cancelling the kubelet ends all children, also stubborn and stopped ones."""
    store, pids = Store(), []
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:

            async def start(task_status: trio.TaskStatus[object]) -> None:
                address_of = "127.0.0.1".format
                api = InProcess(store)
                await run_kubelet(api, tmp_path, address_of=address_of, task_status=task_status)

            kubelet = await nursery.start(start)
            node = Node(store, kubelet, tmp_path, str)
            for name, program in (("a", POLITE), ("b", STUBBORN), ("c", POLITE)):
                await started(node, name, program)
                pids.append(kubelet.pid(name))
            kubelet.signal("c", signal.SIGSTOP)
            nursery.cancel_scope.cancel()
    assert (tmp_path / "volumes/default/a/bye").exists()
    assert not any(is_alive(pid) for pid in pids)
