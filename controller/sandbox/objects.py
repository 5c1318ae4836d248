"""The Kubernetes objects of a sandbox: the StatefulSet of Memgraph and the controller pods.

All environment of a controller pod comes from `controller_env`; everything else is as the chart
would have it, with stand-ins for the images.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import controller

RELEASE = "memgraph"
NAMESPACE = "default"
STATEFULSET = "memgraph"
BOLT_PORT = 7687
READ_PORT = 7688
HTTP_PORT = 8080
REPLICATION_PORT = 10000
DATA_DIRECTORY = "$(SANDBOX_DATA_DIR)/mg"
CONTROL_SOCKET = "control.sock"  # of the stand-in, in the pod's volume
PRESTOP = Path(controller.__file__).parent / "prestop.sh"
PRESTOP_TIMEOUT_S = 30
BOOT_GUARD = f"SET REPLICATION ROLE TO REPLICA WITH PORT {REPLICATION_PORT};\n"

Object = dict[str, Any]


def controller_name(number: int) -> str:
    """Name of a controller pod."""
    return f"controller-{number}"


def instance_name(number: int) -> str:
    """Name of an instance's pod."""
    return f"{STATEFULSET}-{number}"


def _labels(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "memgraph",
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": component,
    }


def prestop_env(controllers: Sequence[str]) -> dict[str, str]:
    """What the preStop hook needs to know. `controllers`: host:port of each one's HTTP."""
    return {
        "POD_NAME": "$(SANDBOX_POD_NAME)",
        "PRESTOP_ADDRESSES": " ".join(controllers),
        "PRESTOP_TIMEOUT": str(PRESTOP_TIMEOUT_S),
    }


def stand_in_command(guard: Path) -> list[str]:
    """Our stand-in, with the flags of the product's own StatefulSet and its control socket."""
    own = ("--stand-in-control", f"$(SANDBOX_DATA_DIR)/{CONTROL_SOCKET}")
    return [sys.executable, "-m", "controller.sandbox.memgraph", *_flags(guard), *own]


def real_command(binary: str, guard: Path, enter: Sequence[str]) -> list[str]:
    """A real database with the same flags, all of its own: an unknown one is fatal to it.

    `enter` runs it in its pod's network, where it may bind every address.
    """
    return [*enter, binary, *_flags(guard), "--telemetry-enabled=false"]


def _flags(guard: Path) -> list[str]:
    return [
        *("--bolt-address", "$(SANDBOX_POD_IP)"),
        f"--bolt-port={BOLT_PORT}",
        *("--data-directory", DATA_DIRECTORY),
        *("--log-file", "$(SANDBOX_DATA_DIR)/memgraph.log"),
        *("--init-file", str(guard)),
        "--storage-wal-enabled=true",
        "--storage-snapshot-interval-sec=300",
        "--storage-snapshot-on-exit=true",  # as the package sets it, not the bare binary
        "--storage-wal-file-flush-every-n-tx=1",
    ]


def statefulset(count: int, api_url: str, command: Sequence[str], env: Mapping[str, str]) -> Object:
    """The StatefulSet of `count` instances that run the command."""
    resets = f"{api_url}/api/v1/namespaces/{NAMESPACE}/configmaps/{RELEASE}-reset"
    set_aside = [sys.executable, "-m", "controller.sandbox.set_aside", "--url", resets]
    set_aside += ["--instance", "$(SANDBOX_POD_NAME)", "--data-directory", DATA_DIRECTORY]
    container = {
        "name": "memgraph",
        "command": list(command),
        "env": _env(env),
        "ports": [{"containerPort": BOLT_PORT}, {"containerPort": REPLICATION_PORT}],
        "readinessProbe": {"tcpSocket": {"port": BOLT_PORT}},
        "lifecycle": {"preStop": {"exec": {"command": ["bash", str(PRESTOP)]}}},
    }
    template = {
        "metadata": {"labels": _labels("database")},
        "spec": {
            "initContainers": [{"name": "set-aside", "command": set_aside}],
            "containers": [container],
            "terminationGracePeriodSeconds": PRESTOP_TIMEOUT_S + 10,
        },
    }
    spec = {
        "replicas": count,
        "serviceName": STATEFULSET,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": _labels("database")},
        "template": template,
    }
    return {"metadata": {"name": STATEFULSET, "labels": _labels("database")}, "spec": spec}


def controller_env(kubeconfig: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Settings of a controller pod, besides what comes from its own fields."""
    return {
        "RELEASE_NAME": RELEASE,
        "NAMESPACE": NAMESPACE,
        "STATEFULSET_NAME": STATEFULSET,
        "KUBECONFIG": str(kubeconfig),
        "GATEWAY_BIND_ADDRESS": f"$(POD_IP):{BOLT_PORT}",
        "GATEWAY_READ_BIND_ADDRESS": f"$(POD_IP):{READ_PORT}",
        "HTTP_BIND_ADDRESS": f"$(POD_IP):{HTTP_PORT}",
        "LOG_FORMAT": "console",
        # No person is there to look at an instance whose data are refused; they are kept aside.
        "AUTO_RESET": "always",
        **more,
    }


def controller_pod(number: int, kubeconfig: Path, more: Mapping[str, str]) -> Object:
    """One controller pod, restarted in place when it ends."""
    own = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in (
            ("POD_NAME", "metadata.name"),
            ("POD_UID", "metadata.uid"),
            ("POD_IP", "status.podIP"),
        )
    ]
    container = {
        "name": "controller",
        "command": [sys.executable, "-m", "controller.cli", "run"],
        "env": [*own, *_env(controller_env(kubeconfig, more))],
        "readinessProbe": {"tcpSocket": {"port": HTTP_PORT}},
    }
    meta = {"name": controller_name(number), "labels": _labels("controller")}
    spec = {"containers": [container], "restartPolicy": "Always"}
    return {"metadata": meta, "spec": spec}


def _env(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def kubeconfig_of(api_url: str, token: str = "") -> Object:
    """A kubeconfig; JSON is YAML."""
    user = {"token": token} if token else {}
    context = {"cluster": "sandbox", "user": "sandbox", "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "clusters": [{"name": "sandbox", "cluster": {"server": api_url}}],
        "users": [{"name": "sandbox", "user": user}],
        "contexts": [{"name": "sandbox", "context": context}],
    }
