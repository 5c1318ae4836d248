"""Startup, liveness and command probes: what they hold back, and what they end."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from node_rooms import POLITE, Node, container, is_ready, is_running, pod, python, text_of

EXISTS = {"exec": {"command": ["test", "-e", "open"]}, "failureThreshold": 1}
ABSENT = {"exec": {"command": ["test", "!", "-e", "broken"]}, "failureThreshold": 2}


def restarts(found: dict[str, Any]) -> int:
    """How often the first container was started again."""
    boxes = found.get("status", {}).get("containerStatuses") or [{}]
    return int(boxes[0].get("restartCount", 0))


def is_started(found: dict[str, Any]) -> bool:
    """Whether the first container is past its startup probe."""
    boxes = found.get("status", {}).get("containerStatuses") or [{}]
    return bool(boxes[0].get("started"))


async def test_readiness_follows_a_command(node: Node) -> None:
    """Ready is True while the command in the container's place succeeds."""
    node.create(pod("p", container(python(POLITE), readinessProbe=EXISTS)))
    found = await node.wait_pod("p", is_running)
    assert not is_ready(found)
    (node.data("p") / "open").touch()
    await node.wait_pod("p", is_ready)
    (node.data("p") / "open").unlink()
    await node.wait_pod("p", lambda found: not is_ready(found))


async def test_nothing_is_ready_before_its_startup_probe(node: Node) -> None:
    """Until the startup probe succeeds a container is neither started nor ready nor judged."""
    many = {**EXISTS, "failureThreshold": 10_000}
    (node.data("p")).mkdir(parents=True)
    (node.data("p") / "broken").touch()  # liveness would fail
    node.create(pod("p", container(python(POLITE), startupProbe=many, livenessProbe=ABSENT)))
    found = await node.wait_pod("p", is_running)
    assert not is_started(found)
    assert not is_ready(found)
    (node.data("p") / "broken").unlink()
    (node.data("p") / "open").touch()
    found = await node.wait_pod("p", lambda found: is_started(found) and is_ready(found))
    assert restarts(found) == 0


@pytest.mark.parametrize("kind", ["livenessProbe", "startupProbe"])
async def test_what_is_found_dead_is_ended_and_started_again(node: Node, kind: str) -> None:
    """A failed liveness or startup probe: hook, SIGTERM, then the next start in the same pod."""
    node.data("p").mkdir(parents=True)
    (node.data("p") / "broken").touch()
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "touch hooked; rm broken"]}}}
    probe = {**ABSENT, "initialDelaySeconds": 2}  # a program that has not begun cannot say bye
    made = node.create(pod("p", container(python(POLITE), lifecycle=hook, **{kind: probe})))
    found = await node.wait_pod("p", lambda found: restarts(found) == 1 and is_ready(found))
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert (text_of(node.data("p") / "bye"), (node.data("p") / "hooked").exists()) == ("bye", True)


async def test_a_value_that_is_missing_is_waited_for(node: Node) -> None:
    """A container whose Secret is not there yet says so and starts once it is."""
    from controller.sandbox.apiserver import SECRETS

    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    box = container(["sh", "-c", "echo got $A; sleep 60"], env=env)
    node.create(pod("p", box))

    def waits(found: dict[str, Any]) -> bool:
        boxes = found.get("status", {}).get("containerStatuses") or [{"state": {}}]
        reason = boxes[0]["state"].get("waiting", {}).get("reason")
        return bool(reason == "CreateContainerConfigError")

    await node.wait_pod("p", waits)
    node.store.create(SECRETS, "default", {"metadata": {"name": "s"}, "data": {"k": "dg=="}})
    await node.wait_pod("p", is_running)
    while "got v" not in node.kubelet.log_path("p").read_text():
        await trio.sleep(0.02)
