"""The example Role for people is enough for every command, and nothing in it is for nothing."""

from pathlib import Path
from typing import Any

import yaml
from cli_world import World

from controller.sandbox.apiserver.faults import Call

ROLE = Path(__file__).parents[2] / "manifests/operators.yaml"
RELEASE = "memgraph"  # of the example; the test's own is "graph"
Right = tuple[str, str, str]  # verb, resource, name; "" = any


def granted() -> set[Right]:
    """What the example grants."""
    role: dict[str, Any] = next(yaml.safe_load_all(ROLE.read_text()))
    return {
        (verb, resource, name.replace(RELEASE, "graph"))
        for rule in role["rules"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def needed(calls: list[Call]) -> set[Right]:
    """What was asked of the API server, in the words of RBAC."""
    found = set()
    for call in calls:
        if call.kind is not None:
            resource = "/".join(filter(None, (call.kind.plural, call.subresource)))
            found.add((call.verb, resource, call.name))
    return found


async def test_the_example_role_is_enough_and_not_too_much(world: World) -> None:
    """Each command is run, the API server's calls are collected: each is granted, and each right
    is used; but for `pods/proxy`, which the stand-in does not know."""
    calls: list[Call] = []
    admit = world.faults.wait_admitted

    async def collect(call: Call) -> None:
        calls.append(call)
        await admit(call)

    world.faults.wait_admitted = collect  # type: ignore[method-assign]
    await world.cli("resume", "--no-wait", "--release", "graph")  # makes it, as controllers do
    calls.clear()
    for words in ("status", "list", "history", "resume --timeout 300ms", "switchover --dry-run"):
        await world.cli(*words.split())
    rights, used = granted(), needed(calls)
    allowed = {(verb, resource) for verb, resource, name in rights if not name}
    too_little = {right for right in used - rights if right[:2] not in allowed}
    assert not too_little
    spare = rights - used - {(verb, resource, "") for verb, resource, _ in used}
    assert spare <= {("get", "pods/proxy", ""), ("get", "configmaps", "graph-requests")}
