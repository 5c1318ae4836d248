"""Reads a release with the user's own kubeconfig: plain GETs, raw JSON, the official client.

Promise: nothing is written but by `asking`, through `Api.send`, and every failure is a Problem with
the exit code that tells what to do about it. What a newcomer gets wrong: `kubernetes` is imported
inside `connect` (half a second), so that `--help` and `diagram` stay quick.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import frozen

from controller.cli.exits import NO_ACCESS, NOT_FOUND, USAGE, Problem
from controller.kube import KIND_LABEL, RELEASE_LABEL, KubeNames

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 3.0, 10.0
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
PAGE = "50"  # objects of a list in one answer: of archives about 5 MB
LIST_ATTEMPTS_MAX = 3
LEDGER_SELECTOR = "memgraph-controller/kind=ledger"
Json = dict[str, Any]


class Gone(Problem):
    """410: the token of a page was forgotten, as after each compaction of etcd (five minutes)."""


@frozen
class Target:
    """What the user said about which release is meant; "" = not said."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    release: str = ""


class Api:
    """Requests to one API server, as one user."""

    def __init__(self, client: Any, unreachable: tuple[type[Exception], ...], host: str) -> None:
        self._client, self._unreachable, self._host = client, unreachable, host

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """The object or list at `path`. Raises Problem: no access, not found, unreachable."""
        return answer_of(path, *self.send("GET", path, query))

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        """Status and body of the answer, whatever it is. Raises Problem: unreachable; a write may
        have been carried out then."""
        headers = {"Accept": "application/json"}
        request = self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers if body is None else {**headers, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        timeout_s = (CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S)
        try:
            response = self._client.call_api(*request, _request_timeout=timeout_s)
            answered = response.read()
        except self._unreachable as error:
            raise Problem(f"{self._host} does not answer: {error}", NOT_FOUND) from error
        return response.status, answered

    def items(self, path: str, selector: str) -> list[Json]:
        """The objects of a list, asked for in pages; where the server has forgotten between two of
        them what the list was, it is begun anew. Raises Problem."""
        first = {"labelSelector": selector, "limit": PAGE}
        query, objects, attempt = first, list[Json](), 1
        while True:
            try:
                answer = self.get(path, query)
            except Gone:
                if "continue" not in query or attempt == LIST_ATTEMPTS_MAX:
                    raise
                query, objects, attempt = first, [], attempt + 1
                continue
            found = answer.get("items")
            objects += [i for i in found or () if isinstance(i, dict)]
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return objects
            query = {**first, "continue": str(token)}


def answer_of(path: str, status: int, body: bytes) -> Json:
    """The object; raises Problem for an answer that is no success."""
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        parsed = {}
    said = parsed if isinstance(parsed, dict) else {}
    if 200 <= status < 300:
        return said
    text = f"{said.get('message') or said.get('error') or path} ({status})"
    if status in (401, 403):
        raise Problem(f"no access: {text}", NO_ACCESS)
    if status == 410:
        raise Gone(text, NOT_FOUND)
    raise Problem(text, NOT_FOUND)


def connect(target: Target) -> tuple[Api, str]:
    """The API server of the kubeconfig (or of the pod that this runs in), and the namespace.

    Raises Problem (USAGE) when there is no usable configuration.
    """
    from kubernetes.client import ApiClient, Configuration  # late: see the module's head
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
    from urllib3.exceptions import HTTPError

    configuration = Configuration()
    configuration.retries = False
    in_pod = not (target.kubeconfig or target.context) and "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if in_pod:
            load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        else:
            load_kube_config(  # type: ignore[no-untyped-call]
                config_file=target.kubeconfig or None,
                context=target.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
        raise Problem(f"no usable kubeconfig: {error}", USAGE) from error
    api = Api(ApiClient(configuration), (HTTPError, ApiException, OSError), configuration.host)
    return api, target.namespace or _namespace(target, in_pod)


def user_of(target: Target) -> str:
    """The kubeconfig's name for whoever asks; "" = unknown."""
    if not (target.kubeconfig or target.context) and "KUBERNETES_SERVICE_HOST" in os.environ:
        return ""
    context = _context(target).get("context")
    return str(context.get("user") or "") if isinstance(context, dict) else ""


def _context(target: Target) -> Json:
    from kubernetes.config import ConfigException, list_kube_config_contexts

    try:
        contexts, active = list_kube_config_contexts(  # type: ignore[no-untyped-call]
            config_file=target.kubeconfig or None
        )
    except ConfigException as error:
        raise Problem(f"no usable kubeconfig: {error}", USAGE) from error
    wanted = [c for c in contexts if c["name"] == target.context] or [active]
    found: Json = wanted[0]
    return found


def _namespace(target: Target, in_pod: bool) -> str:
    if in_pod:
        return OWN_NAMESPACE.read_text().strip() if OWN_NAMESPACE.exists() else "default"
    return str(_context(target).get("context", {}).get("namespace") or "default")


@frozen
class Release:
    """One release on one API server."""

    api: Api
    names: KubeNames

    def ledger(self) -> Json:
        """The ledger's ConfigMap. Raises Problem: NOT_FOUND when there is none."""
        return self.api.get(f"{self.names.config_maps_path}/{self.names.ledger}")

    def archives(self) -> list[Json]:
        """The ConfigMaps with older segments of the ledger."""
        selector = f"{RELEASE_LABEL}={self.names.release},{KIND_LABEL}=ledger-archive"
        return self.api.items(self.names.config_maps_path, selector)

    def pods(self) -> list[Json]:
        """All pods of the release, instances and controllers."""
        return self.api.items(self.names.pods_path, self.names.pod_selector)

    def pods_named(self, names: Iterable[str]) -> list[Json]:
        """The pods of these names, whatever labels they carry: instances of a StatefulSet that is
        not the release's own."""
        wanted = set(names)
        found = self.api.items(self.names.pods_path, "") if wanted else []
        return [pod for pod in found if pod.get("metadata", {}).get("name") in wanted]

    def gateway_leases(self) -> list[Json]:
        """The gateway Leases of the controller pods."""
        return self.api.items(self.names.leases_path, self.names.gateway_selector)

    def ask_pod(self, pod: str, port: int, path: str) -> Json:
        """What a controller pod answers, through the API server. Raises Problem."""
        through = quote(f"{pod}:{port}", safe=":")
        return self.api.get(f"{self.names.pods_path}/{through}/proxy{path}")


def setting_of(pods: Iterable[Json], name: str) -> str:
    """What the controllers among these pods are given as this setting; "" = none says it."""
    containers = (c for pod in pods for c in pod.get("spec", {}).get("containers") or [])
    variables = (v for c in containers for v in c.get("env") or [] if v.get("name") == name)
    return next((str(v["value"]) for v in variables if v.get("value")), "")


def find_release(target: Target) -> Release:
    """The release that the user means; without a name, the only one of the namespace.

    Raises Problem: NOT_FOUND when there is none, USAGE when there are several.
    """
    api, namespace = connect(target)
    release = target.release or _only_release(api, namespace)
    return Release(api, KubeNames(release, namespace, "", "", ""))


def _only_release(api: Api, namespace: str) -> str:
    found = api.items(f"/api/v1/namespaces/{namespace}/configmaps", LEDGER_SELECTOR)
    names = [str(i.get("metadata", {}).get("name", "")) for i in found]
    releases = sorted(n.removesuffix("-ledger") for n in names if n.endswith("-ledger"))
    if not releases:
        raise Problem(
            f"no ledger in namespace {namespace}: name the release or another namespace "
            "(--release, --namespace)",
            NOT_FOUND,
        )
    if len(releases) > 1:
        raise Problem(
            f"several releases in namespace {namespace}, choose one with --release: "
            f"{', '.join(releases)}",
            USAGE,
        )
    return releases[0]
