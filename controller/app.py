"""The composition root: real adapters from the settings, every part in one nursery, one exit.

What a newcomer gets wrong: this is the only place, besides the two adapter rooms, that knows of the
asyncio loop, and the only one that knows which adapter stands behind which port.
"""

import math
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
import trio
import trio_asyncio
from attrs import evolve

from controller.archivist import Retention
from controller.certificates import Certificates
from controller.departure import Departure
from controller.gateways import Gateways, Kind
from controller.kube import (
    ClientConfig,
    CountedTransport,
    KubeEvents,
    KubeGatewayLeases,
    KubeInformers,
    KubeLedgerArchives,
    KubeLedgerStore,
    KubeNames,
    KubePodControl,
    KubeRequests,
    KubeTimes,
    LeaseLeadership,
    open_client,
)
from controller.lease_sessions import LeasesWithSessions
from controller.measures import KubeTally
from controller.memgraph import BoltInstances, MemgraphAccess
from controller.pod import Adapters, ControllerPod, PodSettings, Reign
from controller.policy_check import PolicyCheck
from controller.settings import Settings
from controller.web import Snapshot, serve
from gateway import ClientTls, Limits, UpstreamTls

log = structlog.get_logger(__name__)

BEHIND_THE_RELAY = 5  # niceness: a third of the CPU when the relay wants all of it


async def run(settings: Settings) -> None:
    """Runs one controller pod until it is asked to end (see `departure`), then releases the Lease,
    closes every session that is left, and returns.

    Raises:
        OSError: an address to listen on cannot be had.
        InvariantViolated, IllegalTransition: a bug; every session is closed first.
    """
    async with trio.open_nursery() as nursery:
        departure = Departure(nursery.cancel_scope)
        nursery.start_soon(departure.watch_signals)
        nursery.start_soon(_run_pod, settings, departure)


async def _run_pod(settings: Settings, departure: Departure) -> None:
    reign = Reign()
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_note_asyncio)  # the default one ends the process
        troubles: dict[str, str] = {}
        on_trouble = partial(troubles.__setitem__, "leader lease")
        kube_tally = KubeTally()
        async with _adapters(settings, reign, on_trouble, kube_tally) as adapters:
            gateways = make_gateways(settings)
            leases = LeasesWithSessions(adapters.leases, lambda: gateways.sessions)
            parts = evolve(adapters, leases=leases)
            pod = ControllerPod(pod_settings(settings), parts, gateways, reign)
            async with trio.open_nursery() as nursery:
                await _listen(settings, gateways, nursery)
                around = Surroundings(troubles, datetime.now(UTC), kube_tally, settings)
                around.watch(pod, nursery)
                source = partial(snapshot, pod, gateways, around)
                await nursery.start(partial(serve, settings, source))
                log.info("started", pod=settings.pod_name)
                nursery.start_soon(pod.run)
                leave = partial(gateways.leave, settings.gateway_drain_timeout_s)
                nursery.start_soon(departure.carry_out, pod.step_down, leave)


def _note_asyncio(loop: Any, context: dict[str, Any]) -> None:
    log.warning("asyncio", message=context.get("message"), exception=repr(context.get("exception")))


@asynccontextmanager
async def _adapters(
    settings: Settings, reign: Reign, on_trouble: Callable[[str], None], tally: KubeTally
) -> AsyncIterator[Adapters]:
    names = KubeNames(
        release=settings.release_name,
        namespace=settings.namespace,
        statefulset=settings.statefulset_name,
        pod_name=settings.pod_name,
        pod_uid=settings.pod_uid,
        instance_selector=settings.pod_selector,
    )
    times = KubeTimes(
        lease_duration_s=settings.lease_duration_s,
        renew_deadline_s=settings.lease_renew_deadline_s,
        retry_s=settings.lease_retry_s,
        confirm_timeout_s=settings.gateway_self_fence_s / 2,
    )
    instances = BoltInstances(memgraph_access(settings), reign.is_on, reign.present_term)
    async with (
        open_client(ClientConfig(kubeconfig=settings.kubeconfig)) as client,
        instances.running(),
    ):
        transport = CountedTransport(client, names, tally)
        yield Adapters(
            store=KubeLedgerStore(transport, names, times),
            leases=KubeGatewayLeases(transport, names, times),
            informers=KubeInformers(transport, names, times),
            leadership=LeaseLeadership(transport, names, times, on_trouble=on_trouble),
            pods=KubePodControl(transport, names, times),
            memgraph=instances,
            requests=KubeRequests(transport, names, times),
            archives=KubeLedgerArchives(transport, names, times),
            board=KubeEvents(transport, names, times) if settings.kubernetes_events else None,
            kube_tally=tally,
        )


def memgraph_access(settings: Settings) -> MemgraphAccess:
    """How the instances are reached."""
    return MemgraphAccess(
        user=settings.memgraph_user,
        password=settings.memgraph_password,
        bolt_port=settings.bolt_port,
        replication_port=settings.replication_port,
        probe_timeout_s=settings.probe_timeout_s,
        tls=control_tls(settings),
    )


def unless_off(value_s: float) -> float | None:
    """Settings say infinity for "off", the gateway None."""
    return None if math.isinf(value_s) else value_s


def client_tls(settings: Settings) -> ClientTls | None:
    """TLS with clients of the gateways."""
    if not settings.gateway_tls_enabled:
        return None
    return ClientTls(
        settings.gateway_tls_cert_path,
        settings.gateway_tls_key_path,
        settings.gateway_tls_client_ca_path,
    )


def upstream_tls(settings: Settings) -> UpstreamTls | None:
    """TLS of sessions with instances: a certificate names the instance, or its DNS name."""
    if settings.memgraph_tls == "off":
        return None
    is_verified = settings.memgraph_tls == "verify"
    return UpstreamTls(is_verified, settings.memgraph_tls_ca_path, settings.replication_domain)


def control_tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS of the controller's own connections. They dial addresses, so the name in a certificate
    is not compared; with `verify` its authority is."""
    if settings.memgraph_tls == "off":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    if settings.memgraph_tls != "verify":
        context.verify_mode = ssl.CERT_NONE
    elif settings.memgraph_tls_ca_path:
        context.load_verify_locations(settings.memgraph_tls_ca_path)
    else:
        context.load_default_certs()
    return context


def gateway_limits(settings: Settings) -> dict[Kind, Limits]:
    """The gateways that are switched on, with their limits."""
    limits = Limits(
        connections_max=settings.gateway_max_connections,
        hold_s=settings.gateway_timeout_s,
        hold_max=settings.gateway_max_connections,
        connect_timeout_s=settings.gateway_connection_timeout_s,
        idle_timeout_s=unless_off(settings.gateway_idle_timeout_s),
        session_bytes_max=settings.gateway_max_bytes_per_connection,
        buffer_bytes=settings.gateway_buffer_size,
        rate_per_s=settings.gateway_rate_limit_rps if settings.gateway_rate_limit_enabled else None,
        rate_burst=settings.gateway_rate_limit_burst,
        proxy_protocol=settings.gateway_proxy_protocol,
        client_tls=client_tls(settings),
        upstream_tls=upstream_tls(settings),
    )
    switched = {Kind.RW: settings.gateway_enabled, Kind.RO: settings.read_gateway_enabled}
    return {kind: limits for kind, is_on in switched.items() if is_on}


def pod_settings(settings: Settings) -> PodSettings:
    """What the pod's own parts need."""
    return PodSettings(
        name=settings.pod_name,
        policy=settings.policy(),
        bolt_port=settings.bolt_port,
        probe_interval_s=settings.probe_interval_s,
        self_fence_s=settings.gateway_self_fence_s,
        read_max_lag=settings.read_max_lag,
        retention=Retention.of(settings.ledger_keep_archives, settings.ledger_keep_days),
    )


def make_gateways(settings: Settings) -> Gateways:
    """With relay processes of their own this one steps back in favour of them."""
    gateways = Gateways(
        gateway_limits(settings),
        settings.gateway_workers,
        logs_sessions=settings.gateway_session_log,
    )
    if settings.gateway_workers:
        os.setpriority(os.PRIO_PROCESS, 0, BEHIND_THE_RELAY)  # this thread, and those it starts
    return gateways


async def _listen(settings: Settings, gateways: Gateways, nursery: trio.Nursery) -> None:
    rw, ro = settings.gateway_bind_address, settings.gateway_read_bind_address
    where = {Kind.RW: (rw.host, rw.port), Kind.RO: (ro.host, ro.port)}
    await nursery.start(gateways.run, where)
    for kind, at in gateways.bound.items():
        log.info("listening", gateway=kind, at=at, workers=settings.gateway_workers)


class Surroundings:
    """What a picture shows besides the pod's own parts."""

    def __init__(
        self,
        troubles: Mapping[str, str],
        started_at: datetime,
        kube_tally: KubeTally,
        settings: Settings,
    ) -> None:
        self.troubles, self.started_at, self.kube_tally = troubles, started_at, kube_tally
        files = {
            "gateway": settings.gateway_tls_cert_path if settings.gateway_tls_enabled else "",
            "gateway_client_ca": settings.gateway_tls_client_ca_path,
            "memgraph_ca": settings.memgraph_tls_ca_path,
        }
        self.certificates = Certificates(files)
        self._test_port = settings.network_policy_test_port
        self.policy_check: PolicyCheck | None = None

    def watch(self, pod: ControllerPod, nursery: trio.Nursery) -> None:
        """Begin to look whether the NetworkPolicy is enforced, unless that is switched off."""
        if self._test_port is not None:
            self.policy_check = PolicyCheck(self._test_port, lambda: pod.loop.view)
            nursery.start_soon(self.policy_check.run)


def snapshot(pod: ControllerPod, gateways: Gateways, around: Surroundings) -> Snapshot:
    """What the web room shows: everything that this pod believes, at this moment."""
    loop, chronicle = pod.loop, pod.loop.chronicle
    return Snapshot(
        cluster=loop.cluster,
        view=loop.view,
        started_at=around.started_at,
        now_s=trio.current_time(),
        turned_at_s=loop.turned_at_s,
        refusals=loop.refusals,
        ledger_lines=chronicle.ledger.lines,
        earlier_lines=pod.recollection.lines,
        is_ledger_verified=chronicle.was_read and not chronicle.trouble,
        ledger_trouble=chronicle.trouble,
        missing_archives=chronicle.missing,
        kube_trouble={**pod.all_troubles(), **around.troubles},
        gateways=gateways.counters,
        listening=gateways.listening,
        routed_at_s=dict(gateways.routed_at_s),
        is_leader=bool(loop.view.identity),
        rw_opened_term=pod.gatekeeper.opened_term,
        rw_opened_at=pod.gatekeeper.opened_at,
        head_read_at_s=pod.gatekeeper.standing.head_at_s,
        ledger_head=chronicle.ledger.head,
        is_fenced=pod.gatekeeper.standing.is_fenced,
        worker_restarts=gateways.workers.restarts if gateways.workers else 0,
        certificates=around.certificates.ends(),
        network_policy=around.policy_check.state if around.policy_check else "unknown",
        tally=pod.tally,
        kube_tally=around.kube_tally,
    )
