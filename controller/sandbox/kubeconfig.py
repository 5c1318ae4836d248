"""Where a kubeconfig's present context leads: server, token, TLS.

Small on purpose: the sandbox's own clients are not the product's, so that what a test of the
product shows does not depend on both reading a file alike.
"""

import base64
import ssl
import tempfile
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen


@frozen
class Access:
    """An API server and how to come in. `token`: empty for none; `tls`: None for plain HTTP."""

    server: str
    token: str
    tls: ssl.SSLContext | None


def access_of_kubeconfig(path: Path) -> Access:
    """The server and the user of the present context: token or client certificate.

    Raises OSError, KeyError, ValueError: it cannot be read or makes no sense.
    """
    config = yaml.safe_load(path.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    tls = _tls(cluster, user) if cluster["server"].startswith("https:") else None
    return Access(cluster["server"], user.get("token", ""), tls)


def _tls(cluster: dict[str, str], user: dict[str, str]) -> ssl.SSLContext:
    authority = cluster.get("certificate-authority-data")
    tls = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=base64.b64decode(authority).decode() if authority else None,
    )
    if "client-certificate-data" in user:
        _load_client_certificate(tls, user)
    elif "client-certificate" in user:
        tls.load_cert_chain(user["client-certificate"], user["client-key"])
    return tls


def _load_client_certificate(tls: ssl.SSLContext, user: dict[str, str]) -> None:
    """The ssl module takes certificates from files alone."""
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "client.pem"
        pem.touch(mode=0o600)
        parts = (user["client-certificate-data"], user["client-key-data"])
        pem.write_bytes(b"\n".join(base64.b64decode(part) for part in parts))
        tls.load_cert_chain(pem)


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)
