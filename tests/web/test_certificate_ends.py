"""When certificates end, as the metric tells it."""

import base64
import os
from pathlib import Path

import pytest

from controller.certificates import Certificates, earliest_end_s, not_after_s

CERTS = Path(__file__).parents[1] / "gateway" / "certs"


def expected_s(path: Path) -> float:
    """By another library than ours: OpenSSL, through the ssl module's own decoder."""
    import ssl

    decoded = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    return float(ssl.cert_time_to_seconds(decoded["notAfter"]))


@pytest.mark.parametrize("name", ["server.pem", "client.pem", "authority.pem", "renewed.pem"])
def test_the_end_is_what_openssl_reads(name: str) -> None:
    """Our reading of the DER form and OpenSSL's agree on every certificate of the tests."""
    assert earliest_end_s((CERTS / name).read_text()) == expected_s(CERTS / name)


def test_the_earliest_of_a_chain_counts() -> None:
    """A file may hold a chain: it is good until its first certificate ends."""
    paths = [CERTS / "server.pem", CERTS / "authority.pem"]
    chain = "".join(path.read_text() for path in paths)
    assert earliest_end_s(chain) == min(expected_s(path) for path in paths)


def test_a_renewed_file_is_read_again(tmp_path: Path) -> None:
    """The metric moves when the file is replaced, as the gateway itself reads it again."""
    path = tmp_path / "tls.crt"
    path.write_text((CERTS / "server.pem").read_text())
    found = Certificates({"gateway": str(path), "memgraph_ca": ""})
    assert found.ends() == {"gateway": expected_s(CERTS / "server.pem")}
    path.write_text((CERTS / "renewed.pem").read_text())
    os.utime(path, ns=(1, 1))
    assert found.ends() == {"gateway": expected_s(CERTS / "renewed.pem")}
    path.unlink()
    assert found.ends() == {}


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x30\x82\xff\xff", b"\x30\x03\x02\x01\x01", bytes(64)]
)
def test_what_is_no_certificate_has_no_end(der: bytes) -> None:
    """Whatever stands in the file, nothing but "no time" comes of it."""
    with pytest.raises((ValueError, IndexError)):
        not_after_s(der)
    block = base64.b64encode(der).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{block}\n-----END CERTIFICATE-----\n"
    assert earliest_end_s(pem) is None
