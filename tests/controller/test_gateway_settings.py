"""What a person sets for the gateways, and what the gateways get of it."""

import pytest
from environs import ValidationError

from controller.app import control_tls, gateway_limits
from controller.setting_values import size, size_or_off
from controller.settings import load
from gateway import ClientTls, Kind, ProxyProtocol, UpstreamTls

LEAST = {
    "NAMESPACE": "prod",
    "RELEASE_NAME": "graph",
    "STATEFULSET_NAME": "graph-memgraph",
    "POD_NAME": "graph-controller-7c9-x",
    "POD_UID": "5b1c",
}


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("off", None),
        ("1048576", 1 << 20),
        ("500M", 500_000_000),
        ("10Gi", 10 << 30),
        ("1k", 1000),
        ("64Ki", 65536),
    ],
)
def test_sizes_are_understood(text: str, size_bytes: int | None) -> None:
    """Sizes are written as in Kubernetes; off is no limit."""
    assert size_or_off(text) == size_bytes


@pytest.mark.parametrize("text", ["0", "-1", "1.5G", "10 Gi", "10gi", "1ki", "1K", "Gi", "", "1e9"])
def test_other_sizes_are_not(text: str) -> None:
    """Anything else says what is wanted."""
    with pytest.raises(ValidationError, match="wants a size"):
        size_or_off(text)


@pytest.mark.parametrize("text", ["off", "4095", "2Mi", "0", "many"])
def test_buffers_have_a_least_and_a_most(text: str) -> None:
    """A page at least, since a pipe has one; at most what a user without privileges may have."""
    with pytest.raises(ValidationError, match="wants a size"):
        size(4096, 1 << 20)(text)


def test_limits_are_handed_on() -> None:
    """Each variable reaches the gateways; a limit that is off is none."""
    plain = gateway_limits(load(LEAST))[Kind.RW]
    assert (plain.session_bytes_max, plain.rate_per_s, plain.idle_timeout_s) == (None, None, None)
    assert (plain.client_tls, plain.upstream_tls) == (None, None)
    given = {
        "GATEWAY_MAX_BYTES_PER_CONNECTION": "1Mi",
        "GATEWAY_BUFFER_SIZE": "64Ki",
        "GATEWAY_RATE_LIMIT_ENABLED": "true",
        "GATEWAY_RATE_LIMIT_RPS": "7",
        "GATEWAY_RATE_LIMIT_BURST": "9",
        "GATEWAY_PROXY_PROTOCOL": "require",
        "GATEWAY_IDLE_TIMEOUT": "60s",
        "GATEWAY_TLS_ENABLED": "true",
        "GATEWAY_TLS_CERT_PATH": "/tls/tls.crt",
        "GATEWAY_TLS_KEY_PATH": "/tls/tls.key",
        "MEMGRAPH_TLS": "verify",
        "MEMGRAPH_TLS_CA_PATH": "/ca.crt",
        "SERVICE_NAME": "graph-memgraph",
    }
    limits = gateway_limits(load({**LEAST, **given}))[Kind.RW]
    assert (limits.session_bytes_max, limits.rate_per_s, limits.rate_burst) == (1 << 20, 7, 9)
    assert (plain.buffer_bytes, limits.buffer_bytes) == (1 << 20, 1 << 16)
    assert limits.proxy_protocol is ProxyProtocol.REQUIRE
    assert limits.idle_timeout_s == 60
    assert limits.client_tls == ClientTls("/tls/tls.crt", "/tls/tls.key")
    domain = "graph-memgraph.prod.svc.cluster.local"
    assert limits.upstream_tls == UpstreamTls(True, "/ca.crt", domain)


def test_control_connections_speak_tls_when_instances_do() -> None:
    """MEMGRAPH_TLS is about every connection to an instance, the verifier's included."""
    assert control_tls(load(LEAST)) is None
    context = control_tls(load({**LEAST, "MEMGRAPH_TLS": "on"}))
    assert context is not None
    assert not context.check_hostname
