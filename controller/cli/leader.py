"""Asking a controller a question: the leader first, for only its picture is complete."""

import json
import urllib.error
import urllib.request

from controller.cli.evidence import is_controller, verified_of
from controller.cli.exits import NOT_FOUND, Problem
from controller.cli.reading import (
    ANSWER_TIMEOUT_S,
    Json,
    Release,
    Target,
    answer_of,
    find_release,
)
from controller.kube import pod_facts_of


def ask_leader(target: Target, url: str, http_port: int, path: str) -> Json:
    """The answer to GET `path` (with its query) of the controller at `url`, or else of the leader,
    or else of any controller, through the API server.

    Raises:
        Problem: nobody answers, or the question makes no sense to whoever does.
    """
    return _at(url, path) if url else _of(find_release(target), http_port, path)


def _of(release: Release, http_port: int, path: str) -> Json:
    """Asked of the leader first, through the API server."""
    leader = verified_of(release).ledger.cluster.leader
    pods = [pod_facts_of(p) for p in release.pods() if is_controller(p)]
    names = sorted((p.name for p in pods if p.ip), key=lambda n: not leader.startswith(n))
    said = "there is none"
    for name in names:
        try:
            return _checked(release.ask_pod(name, http_port, path))
        except Problem as problem:
            said = problem.message
    raise Problem(f"no controller can be asked ({said}); ask one with --url", NOT_FOUND)


def _at(url: str, path: str) -> Json:
    address = url.rstrip("/") + path
    if not address.startswith(("http://", "https://")):
        raise Problem(f"--url wants http://host:port, not {url}", NOT_FOUND)
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_TIMEOUT_S) as response:
            return _checked(json.load(response))
    except urllib.error.HTTPError as error:
        with error:
            answer_of(address, error.code, error.read())  # raises with what was said
        raise Problem(f"{address}: {error}", NOT_FOUND) from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Problem(f"{address} does not answer: {error}", NOT_FOUND) from error


def _checked(found: object) -> Json:
    if not isinstance(found, dict) or "pod" not in found:
        raise Problem("that is no answer of a memgraph-controller", NOT_FOUND)
    return found
