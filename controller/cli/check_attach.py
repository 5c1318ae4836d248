"""`check-attach`: is a StatefulSet of Memgraph ready to be led? Reads, and changes nothing."""

from typing import Any

import click

from controller.cli.attach_checks import (
    ADVICE,
    MISSING,
    Check,
    Found,
    checks,
    mounted_config_maps,
)
from controller.cli.entry import output, targeted
from controller.cli.exits import FAILED, HELP, NOT_FOUND, OK, Problem
from controller.cli.reading import Api, Json, Target, connect

APPS = "/apis/apps/v1/namespaces"


@click.command("check-attach", epilog=HELP)
@targeted
@click.option("--statefulset", required=True, help="The StatefulSet of Memgraph.")
@click.option("--service", default="", help="Its headless Service; empty: register by pod IP.")
@click.option("--selector", default="", help="Labels of its pods, as POD_SELECTOR gets them.")
@click.option("--replication-port", default=10000, show_default=True)
@output("table", "json", "yaml")
def check_attach(
    form: str, statefulset: str, service: str, selector: str, replication_port: int, **target: str
) -> None:
    """What a StatefulSet of your own needs before a controller leads it.

    \b
    Each line: ok, missing (do not attach before it is there), or advice.
    Exit code 1 when something is missing.

    \b
    Examples:
      memgraph-controller check-attach --release memgraph --statefulset mg-memgraph \\
        --selector app.kubernetes.io/instance=mg
    """
    api, namespace = connect(Target(**target))
    release = target["release"] or "memgraph"
    found = found_in(api, namespace, release, statefulset, service, selector, replication_port)
    results = checks(found)
    show(results, form)
    raise SystemExit(FAILED if any(c.verdict == MISSING for c in results) else OK)


def found_in(
    api: Api,
    namespace: str,
    release: str,
    statefulset: str,
    service: str,
    selector: str,
    replication_port: int,
) -> Found:
    """What the API server holds. Raises Problem: no access, or the StatefulSet or the Service is
    not there."""
    core = f"/api/v1/namespaces/{namespace}"
    found = Found(
        statefulset=api.get(f"{APPS}/{namespace}/statefulsets/{statefulset}"),
        service=api.get(f"{core}/services/{service}") if service else None,
        selector=selector or f"app.kubernetes.io/instance={release}",
        release=release,
        replication_port=replication_port,
    )
    maps: dict[str, Json | None] = {}
    for name in mounted_config_maps(found):
        try:
            maps[name] = api.get(f"{core}/configmaps/{name}")
        except Problem as problem:
            if problem.exit_code == NOT_FOUND:
                maps[name] = None
    return Found(found.statefulset, found.service, maps, found.selector, release, replication_port)


def show(results: list[Check], form: str) -> None:
    """Print them."""
    from controller.cli import tables

    if form != "table":
        tables.show([_document(c) for c in results], form)
        return
    rows = [(c.verdict, c.what, c.saw, c.do) for c in results]
    tables.console().print(tables.columns(("", "WHAT", "SEEN", "DO"), rows))
    count = sum(c.verdict == MISSING for c in results)
    advice = sum(c.verdict == ADVICE for c in results)
    if count:
        tables.loudly(f"{count} missing, {advice} advised: do not attach yet")


def _document(check: Check) -> dict[str, Any]:
    return {"what": check.what, "verdict": check.verdict, "saw": check.saw, "do": check.do}
