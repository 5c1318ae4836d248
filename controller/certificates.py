"""When the certificates in use end: read from their PEM files, again whenever a file changes.

Promise: a file that is missing or cannot be understood gives no time, and never an error: who needs
the certificate says so by itself. Only the validity is looked at; nothing here trusts anything.
"""

import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
SEQUENCE, CONTEXT_0, UTC_TIME, GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
FILE_BYTES_MAX = 1_048_576
BEFORE_VALIDITY = 3  # serial number, signature algorithm, issuer


class Certificates:
    """Keeps the last answer for each file.

    Args:
        paths: What the certificate is for -> its PEM file; an empty path is none.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = {what: Path(path) for what, path in paths.items() if path}
        self._known: dict[str, tuple[tuple[int, int], float | None]] = {}

    def ends(self) -> dict[str, float]:
        """What -> unix time of the earliest end of a certificate in its file."""
        found = {what: self._end(what, path) for what, path in self._paths.items()}
        return {what: end_s for what, end_s in found.items() if end_s is not None}

    def _end(self, what: str, path: Path) -> float | None:
        try:
            status = path.stat()
            mark = (status.st_mtime_ns, status.st_size)
            if self._known.get(what, (None,))[0] != mark:
                self._known[what] = (mark, earliest_end_s(path.read_text(errors="replace")))
        except OSError:
            return None
        return self._known[what][1]


def earliest_end_s(pem: str) -> float | None:
    """Unix time of the earliest end in a PEM text; None where no certificate can be read."""
    ends = []
    for block in PEM.findall(pem[:FILE_BYTES_MAX]):
        try:
            ends.append(not_after_s(ssl.PEM_cert_to_DER_cert(block)))
        except (ValueError, IndexError):
            continue
    return min(ends, default=None)


def not_after_s(der: bytes) -> float:
    """Unix time of `notAfter`. Source: RFC 5280, section 4.1.

    Raises ValueError, IndexError: it is no certificate.
    """
    _, certificate, _ = _element(der)
    _, signed, _ = _element(certificate)
    tag, _, rest = _element(signed)
    if tag != CONTEXT_0:  # no version: a certificate of version 1
        rest = signed
    for _ in range(BEFORE_VALIDITY):
        _, _, rest = _element(rest)
    tag, validity, _ = _element(rest)
    if tag != SEQUENCE:
        raise ValueError("the validity is no sequence")
    _, _, rest = _element(validity)
    return _time_s(*_element(rest)[:2])


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content, and what follows."""
    tag, length, begin = data[0], data[1], 2
    if length & 0x80:
        begin = 2 + (length & 0x7F)
        length = int.from_bytes(data[2:begin], "big")
    if len(data) < begin + length:
        raise ValueError("it is cut")
    return tag, data[begin : begin + length], data[begin + length :]


def _time_s(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = ("20" if int(text[:2]) < 50 else "19") + text
    elif tag != GENERALIZED_TIME:
        raise ValueError("the end is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
