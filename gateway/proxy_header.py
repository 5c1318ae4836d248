"""The PROXY header, versions 1 and 2, with which a load balancer tells whom it speaks for.

Promise: `parse` reads nothing past the header and never accepts one that is longer than it may be;
whatever is wrong with the bytes, they are refused, not guessed at. Only a balancer that is trusted
may reach a gateway that accepts it: the address in it is believed.

Source: the specification that HAProxy publishes (proxy-protocol.txt, 2.1 and 2.2).
"""

import ipaddress
import re
import struct

import attrs

V1_BYTES_MAX = 107  # the specification's own, with CR and LF
V2_PAYLOAD_BYTES_MAX = 1024  # addresses and extensions; the specification asks for 216 and up
HEADER_BYTES_MAX = 16 + V2_PAYLOAD_BYTES_MAX
V1_START = b"PROXY "
V2_START = b"\r\n\r\n\x00\r\nQUIT\n"
_V1 = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (\d{1,5}) (\d{1,5})\r\n")
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_ADDRESS_BYTES = {0x11: 12, 0x21: 36}  # TCP over IPv4 and IPv6: both addresses and ports


class BadHeader(Exception):
    """Bytes that cannot become a header. The client is refused; caught where it was read."""


@attrs.frozen
class Header:
    """A whole one.

    Attributes:
      size_bytes: how much of the stream it is; what follows belongs to the client.
      source: address of the client; "" when the balancer speaks for itself or does not know.
    """

    size_bytes: int
    source: str


NO_HEADER = Header(0, "")


def parse(seen: bytes, *, is_required: bool) -> Header | None:
    """The header that these first bytes of a stream begin with; None when more are needed.
    NO_HEADER when there is none, and none is required.

    Raises:
      BadHeader: these bytes cannot become one.
    """
    if seen.startswith(V2_START):
        return _parse_v2(seen)
    if seen.startswith(V1_START):
        return _parse_v1(seen)
    if V2_START.startswith(seen) or V1_START.startswith(seen):
        return None
    if is_required:
        raise BadHeader("no PROXY header")
    return NO_HEADER


def _parse_v1(seen: bytes) -> Header | None:
    end = seen.find(b"\r\n", 0, V1_BYTES_MAX)
    if end < 0:
        if len(seen) >= V1_BYTES_MAX:
            raise BadHeader("version 1: too long")
        return None
    line = seen[: end + 2]
    if _UNKNOWN.fullmatch(line):
        return Header(len(line), "")
    found = _V1.fullmatch(line)
    if found is None:
        raise BadHeader("version 1: not in its form")
    version, source, target, *ports = (part.decode() for part in found.groups())
    if any(int(port) > 65535 for port in ports):
        raise BadHeader("version 1: no such port")
    for address in (source, target):
        if _address(address).version != int(version):
            raise BadHeader("version 1: another kind of address")
    return Header(len(line), source)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise BadHeader(f"no address: {text:.50}") from error


def _parse_v2(seen: bytes) -> Header | None:
    if len(seen) < 16:
        return None
    version_and_command, family, payload_bytes = struct.unpack_from("!BBH", seen, 12)
    if version_and_command not in (0x20, 0x21):
        raise BadHeader("version 2: another version or command")
    if payload_bytes > V2_PAYLOAD_BYTES_MAX:
        raise BadHeader("version 2: too long")
    if len(seen) < 16 + payload_bytes:
        return None
    size_bytes = 16 + payload_bytes
    if version_and_command == 0x20 or family == 0:
        return Header(size_bytes, "")  # a health check of the balancer, or it does not know
    address_bytes = _ADDRESS_BYTES.get(family)
    if address_bytes is None or payload_bytes < address_bytes:
        raise BadHeader("version 2: another kind of address")
    length = 4 if family == 0x11 else 16
    return Header(size_bytes, str(ipaddress.ip_address(seen[16 : 16 + length])))
