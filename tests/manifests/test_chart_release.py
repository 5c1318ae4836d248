"""A release from the outside: what a controller is told, where clients find it, what `helm test`
and NOTES.txt do, what an uninstallation leaves."""

import shlex
from typing import Any

import pytest
import yaml
from chart_objects import ATTACHED, LABELLED, environment, objects, of_kind
from click import Context
from rendering import CHART, helm, helm_path

from controller.cli import cli
from controller.kube.names import KubeNames
from controller.settings import load

pytestmark = [
    pytest.mark.helm,
    pytest.mark.skipif(helm_path() is None, reason="helm is missing: ./scripts/kube/clients"),
]


def test_the_policy_is_tried_where_there_is_one() -> None:
    """The controllers try a port that the chart's NetworkPolicy does not open to them; without a
    policy they try none."""
    for values in ((), LABELLED):
        port = int(environment(*values)["NETWORK_POLICY_TEST_PORT"])
        (policy,) = of_kind("NetworkPolicy", *values)
        opened = {p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]}
        assert port not in opened
    for values in (("networkPolicy.enabled=false",), ATTACHED):
        assert environment(*values)["NETWORK_POLICY_TEST_PORT"] == "off"
        assert not of_kind("NetworkPolicy", *values)


TLS = ("gateway.tls.secretName=crt", "gateway.tls.verifyClients=true")


def test_tls_is_mounted_where_the_program_looks() -> None:
    """The Secret's directory is mounted (not a file of it, which would never change), and each path
    of the settings lies in it."""
    environ = environment(*TLS)
    (deployment,) = of_kind("Deployment", *TLS)
    spec = deployment["spec"]["template"]["spec"]
    (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "tls"]
    (volume,) = [v for v in spec["volumes"] if v["name"] == "tls"]
    assert "subPath" not in mount
    assert volume["secret"]["secretName"] == "crt"
    paths = [v for k, v in environ.items() if k.startswith("GATEWAY_TLS_") and k.endswith("_PATH")]
    assert len(paths) == 3
    assert all(path.startswith(f"{mount['mountPath']}/") for path in paths)
    assert environ["GATEWAY_TLS_ENABLED"] == "true"
    assert "GATEWAY_TLS_ENABLED" not in environment()


@pytest.mark.parametrize("values", [(), ATTACHED, LABELLED, TLS, ("memgraph.replicas=9",)])
def test_the_program_takes_the_charts_settings(values: tuple[str, ...]) -> None:
    """Whatever the values, a controller would start with what it is given."""
    pod = {"NAMESPACE": "default", "POD_NAME": "c", "POD_UID": "u", "POD_IP": "10.0.0.1"}
    assert load(pod | environment(*values)).release_name == "memgraph"


def test_known_names_lead_to_the_controllers() -> None:
    """For a release called memgraph the addresses that some know from elsewhere are there, and
    each port leads to one that the controllers have."""
    services = {o["metadata"]["name"]: o["spec"] for o in of_kind("Service")}
    (deployment,) = of_kind("Deployment")
    box = deployment["spec"]["template"]["spec"]["containers"][0]
    ports = {p["name"]: p["containerPort"] for p in box["ports"]}
    wanted = {
        "memgraph-controller": (8080, 8080),
        "memgraph": (8080, 8080),
        "memgraph-gateway": (7687, 7687),
        "memgraph-gateway-read": (7687, 7688),
    }
    for name, (port, leads_to) in wanted.items():
        (given,) = services[name]["ports"]
        assert (given["port"], ports[given["targetPort"]]) == (port, leads_to), name


def test_uninstalling_leaves_what_must_stay() -> None:
    """Helm removes what it has made: neither ledger, archives, requests, tokens nor Leases are
    among that; volumes are retained, and a Secret that was made is kept."""
    names = KubeNames("memgraph", "default", "memgraph-db", "pod", "uid")
    made = {o["metadata"]["name"] for o in objects("auth.enabled=true")}
    kept = {names.ledger, names.requests, names.reset, names.leader_lease, names.archive(7)}
    assert not made & kept
    assert not [o for o in objects() if o["kind"] in ("Lease", "PersistentVolumeClaim")]
    (statefulset,) = of_kind("StatefulSet")
    policy = statefulset["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (secret,) = of_kind("Secret", "auth.enabled=true")
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def hook(*values: str) -> dict[str, Any]:
    """The pod of `helm test`."""
    words = [w for v in values for w in ("--set", v)]
    done = helm("template", "memgraph", str(CHART), *words)
    (found,) = [o for o in yaml.safe_load_all(done.stdout) if o and o["kind"] == "Pod"]
    assert found["metadata"]["annotations"]["helm.sh/hook"] == "test"
    return dict(found)


@pytest.mark.parametrize("values", [(), TLS])
def test_the_test_asks_the_gateways_that_are_there(values: tuple[str, ...]) -> None:
    """`helm test` dials the chart's own Services, with a command line that the program takes, in a
    pod that Pod Security `restricted` admits."""
    spec = hook(*values)["spec"]
    (box,) = spec["containers"]
    name, *words = box["args"]
    command = cli.get_command(Context(cli), name)
    assert command is not None
    given = command.make_context(name, words).params
    services = {o["metadata"]["name"] for o in of_kind("Service", *values)}
    assert {given["write"].split(":")[0], given["read"].split(":")[0]} <= services
    assert given["tls"] is bool(values)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert box["securityContext"]["allowPrivilegeEscalation"] is False
    assert box["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_test_runs_the_controllers_image() -> None:
    """Who names another registry for the controllers need not name it again for the test."""
    values = ("controller.image.repository=r.example/mc", "controller.image.tag=v7")
    (box,) = hook(*values)["spec"]["containers"]
    assert box["image"] == "r.example/mc:v7"
    (box,) = hook(*values, "tests.image=other:1")["spec"]["containers"]
    assert box["image"] == "other:1"


@pytest.mark.parametrize("values", [(), LABELLED])
def test_the_notes_name_three_commands_that_exist(values: tuple[str, ...]) -> None:
    """What NOTES.txt tells to do next: each command of ours takes what it is given."""
    words = [w for v in values for w in ("--set", v)]
    done = helm("install", "memgraph", str(CHART), "--dry-run=client", "-n", "graphs", *words)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.split("NOTES:")[1]
    programs = ("  kubectl ", "  helm ")
    commands = [line.strip() for line in notes.splitlines() if line.startswith(programs)]
    assert len(commands) == 3
    for line in commands:
        if not line.startswith("kubectl memgraph "):
            continue
        name, *rest = shlex.split(line)[2:]
        command = cli.get_command(Context(cli), name)
        assert command is not None, line
        command.make_context(name, rest)
