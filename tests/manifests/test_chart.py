"""The chart: renders, is strict about its values, says what the program understands, and what is
rendered from it is current."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_objects import ATTACHED, LABELLED, environment, objects, of_kind, pod_specs
from rendering import CHART, PLAIN, README, ROOT, helm, helm_path, plain, readme, rendered

from controller.kube.names import DATABASE_CONTAINER, KubeNames
from controller.setting_values import selector
from controller.settings import VARIABLES

pytestmark = [
    pytest.mark.helm,
    pytest.mark.skipif(helm_path() is None, reason="helm is missing: ./scripts/kube/clients"),
]


KNOWN = {variable.name: variable for variable in VARIABLES.values()}


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Init containers too."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def test_lint_finds_nothing() -> None:
    """`helm lint --strict` passes."""
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_plain_manifests_are_current() -> None:
    """What is checked in is what the chart renders."""
    assert PLAIN.read_text() == plain(), "run ./scripts/render"


def test_the_charts_readme_is_current() -> None:
    """Every value is described, and the README says so."""
    text = readme()
    assert README.read_text() == text, "run ./scripts/render"
    assert not [line for line in text.splitlines() if line.endswith("|  |")]


def test_the_schema_knows_exactly_the_values() -> None:
    """No value without a schema, no schema without a value."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(part: dict[str, Any], given: dict[str, Any], where: str) -> None:
        known = set(part["properties"]) - {"global"}
        assert known >= set(given), where
        for name in known:
            found = part["properties"][name]
            ref = found.get("$ref", "").split("/")[-1]
            target = schema["definitions"][ref] if ref else found
            if target.get("properties") and ref != "image":
                compare(target, given[name], f"{where}.{name}")
            elif ref != "image":
                assert name in given, f"{where}.{name}"

    compare(schema, values, "values")


@pytest.mark.parametrize(
    "wrong",
    ["durabilty=required", "durability=maybe", "memgraph.replicas=1", "timing.mainGrace=2 s"],
)
def test_a_wrong_value_is_refused(wrong: str) -> None:
    """A typing error is an error, not a default."""
    with pytest.raises(ValueError, match=re.escape(wrong.split("=")[0].split(".")[-1])):
        rendered(wrong)


def test_every_setting_is_one_of_the_program() -> None:
    """The controller's environment has no variable that the program would not read."""
    (deployment,) = of_kind("Deployment", "auth.enabled=true")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {e["name"] for e in env} <= set(KNOWN)


def test_defaults_are_those_of_the_program() -> None:
    """A user of the chart and a user of the program meet the same defaults."""
    (deployment,) = of_kind("Deployment")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    for entry in env:
        default = KNOWN[entry["name"]].default
        if "value" in entry and default not in ("", None) and isinstance(default, str):
            assert entry["value"] == default, entry["name"]


def test_every_pod_is_restricted() -> None:
    """Pod Security `restricted`: not root, nothing escalates, nothing writable but volumes."""
    for spec in pod_specs():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]


def test_pods_are_found_by_the_labels_that_the_program_selects() -> None:
    """Instances and controllers carry the release's label; the database's container has the name
    that the program looks for."""
    names = KubeNames("memgraph", "default", "memgraph-db", "pod", "uid")
    label, value = names.pod_selector.split("=")
    for found in objects():
        if found["kind"] in ("StatefulSet", "Deployment"):
            assert found["spec"]["template"]["metadata"]["labels"][label] == value
    (statefulset,) = of_kind("StatefulSet")
    assert statefulset["metadata"]["name"] == names.statefulset
    boxes = statefulset["spec"]["template"]["spec"]["containers"]
    assert [b["name"] for b in boxes] == [DATABASE_CONTAINER]
    volumes = statefulset["spec"]["template"]["spec"]["volumes"]
    tokens = next(v for v in volumes if v["name"] == "reset")
    assert tokens["configMap"] == {"name": names.reset, "optional": True}


def test_no_password_on_a_command_line() -> None:
    """Neither commands nor arguments carry one; it comes from a Secret."""
    for spec in pod_specs("auth.enabled=true"):
        for container in containers(spec):
            words = json.dumps([container.get("command"), container.get("args")])
            assert "assword" not in words
            for entry in container.get("env", []):
                assert "PASSWORD" not in entry["name"] or "valueFrom" in entry


def test_two_releases_share_nothing() -> None:
    """Every object carries its release's name, and no selector matches the other's pods."""
    one, two = objects(name="graphs"), objects(name="graphs-2")
    keys = [{(o["kind"], o["metadata"]["name"]) for o in release} for release in (one, two)]
    assert not keys[0] & keys[1]
    for found in one:
        assert found["metadata"]["name"].startswith("graphs")
        selector = found.get("spec", {}).get("selector") or {}
        wanted = selector.get("matchLabels", selector)
        if wanted:
            assert wanted["app.kubernetes.io/instance"] == "graphs"


def test_the_hook_is_the_programs_own() -> None:
    """The chart's copy of the preStop hook is the one that is tested."""
    ours = (ROOT / "controller/prestop.sh").read_text()
    assert (CHART / "files/prestop.sh").read_text() == ours
    (hooks,) = of_kind("ConfigMap")
    assert hooks["data"]["prestop.sh"].rstrip() == ours.rstrip()


def test_the_grace_period_fits_the_hook() -> None:
    """The kubelet does not kill a pod whose hook still waits."""
    (statefulset,) = of_kind("StatefulSet", "memgraph.prestopTimeoutSeconds=120")
    spec = statefulset["spec"]["template"]["spec"]
    env = {e["name"]: e.get("value") for e in spec["containers"][0]["env"]}
    assert env["PRESTOP_TIMEOUT"] == "120"
    assert spec["terminationGracePeriodSeconds"] >= 120 + 30


def test_attaching_needs_a_name() -> None:
    """Without a StatefulSet of its own the chart wants to know whose; it then makes none, and
    brings what that one has to mount."""
    with pytest.raises(ValueError, match="name the StatefulSet"):
        rendered("memgraph.enabled=false")
    found = objects(*ATTACHED)
    assert {o["kind"] for o in found}.isdisjoint({"StatefulSet", "NetworkPolicy"})
    assert "boot-guard.cypherl" in of_kind("ConfigMap", *ATTACHED)[0]["data"]
    assert environment(*ATTACHED)["STATEFULSET_NAME"] == "mg"
    assert "POD_SELECTOR" not in environment(*ATTACHED)


def test_attached_pods_are_found_and_shielded_by_their_own_labels() -> None:
    """The labels that are given select the instances for the controllers, and for the
    NetworkPolicy; the program understands how they are written."""
    environ = environment(*LABELLED)
    assert environ["POD_SELECTOR"] == "app.kubernetes.io/instance=theirs"
    assert selector(environ["POD_SELECTOR"])
    (policy,) = of_kind("NetworkPolicy", *LABELLED)
    theirs = {"app.kubernetes.io/instance": "theirs"}
    assert policy["spec"]["podSelector"]["matchLabels"] == theirs
    peers = [rule["from"] for rule in policy["spec"]["ingress"]]
    assert peers[1] == [{"podSelector": {"matchLabels": theirs}}]
    ours = peers[0][0]["podSelector"]["matchLabels"]
    assert ours["app.kubernetes.io/component"] == "controller"
    assert ours["app.kubernetes.io/instance"] == "memgraph"


def test_a_stopping_controller_has_time_to_drain() -> None:
    """The grace period covers the hook, the drain, and the moment after it."""
    (deployment,) = of_kind("Deployment", "controller.drainSeconds=40")
    spec = deployment["spec"]["template"]["spec"]
    assert environment("controller.drainSeconds=40")["GATEWAY_DRAIN_TIMEOUT"] == "40s"
    hook = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert spec["terminationGracePeriodSeconds"] >= 40 + int(hook[1]) + 5


def test_the_role_is_the_one_that_is_documented() -> None:
    """The chart grants what manifests/rbac.yaml does, and no ClusterRole exists."""
    (role,) = of_kind("Role")
    plain_role = next(yaml.safe_load_all(Path(ROOT / "manifests/rbac.yaml").read_text()))
    assert role["rules"] == plain_role["rules"]
    assert not [o for o in objects() if o["kind"].startswith("Cluster")]
