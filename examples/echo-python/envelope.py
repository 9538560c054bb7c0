"""The messages of the request channel, in bytes: docs/request-channel.md, sections Request and Response."""

import struct
from dataclasses import dataclass

SEND, NO_OP, CLOSE_CONNECTION, REDIRECT, PARKED, NOT_TAKEN = range(1, 7)
PART_SIZE = 524288  # the largest part of a frame
SMALL = 131072  # what may be answered on the reply subject

_REQUEST = struct.Struct(">BBcBHhhHQQQiIIIHHIBBB")
_RESPONSE = struct.Struct(">BBBBHQQIIIIIHHIB")
_STRINGS = 7


class Invalid(ValueError):
    """Bytes that are no envelope."""


@dataclass
class Request:
    """A request, or a part of one."""

    flags: int
    api_key: int
    api_version: int
    processor: int
    id: int
    token: int
    announcement: int
    broker: int
    age: int
    deadline: int
    granted: int
    part: int
    parts: int
    total: int
    redirects: int
    security_protocol: int
    attempt: int
    strings: list  # front end id, connection id, listener, principal, client address, software, its version
    frame: bytes

    @property
    def front_end(self):
        return self.strings[0]


def kind_of(message):
    """b"Q", b"C" or b"P"; None of what is no message of the channel."""
    return message[2:3] if len(message) >= 6 and message[0] == 0x4B else None


def parse_request(message):
    if len(message) < _REQUEST.size:
        raise Invalid(f"{len(message)} bytes are no request")
    _, version, _, flags, header, *fields = _REQUEST.unpack_from(message)
    if version < 1 or not _REQUEST.size <= header <= len(message):
        raise Invalid(f"version {version}, header of {header} bytes in {len(message)}")
    request = Request(flags, *fields, _parse_strings(message[_REQUEST.size : header]), message[header:])
    if request.part >= request.parts or len(request.frame) > request.total:
        raise Invalid(f"part {request.part} of {request.parts}, {len(request.frame)} of {request.total} bytes")
    return request


def _parse_strings(b):
    out = []
    for _ in range(_STRINGS):
        if len(b) < 2 or len(b) < 2 + (n := int.from_bytes(b[:2], "big")):
            raise Invalid("strings cut short")
        out.append(b[2 : 2 + n].decode("utf-8", "replace"))
        b = b[2 + n :]
    return out


def parse_cancel(message):
    """The request id, and whether the peer only stopped sending."""
    if len(message) < 14:
        raise Invalid(f"{len(message)} bytes are no cancel")
    return int.from_bytes(message[6:14], "big"), bool(message[3] & 8)


def response(request, kind, frame=b"", throttle=0, queued=0, ran=0, waited=0, deadline=0, target=""):
    """The messages that answer a request: one for each part of the frame."""
    parts = max(1, -(-len(frame) // PART_SIZE))
    for part in range(parts):
        name = target.encode()
        header = _RESPONSE.pack(
            0x4B, 1, kind, 0, _RESPONSE.size + 2 + len(name), request.id, request.token,
            throttle, queued, ran, waited, deadline, part, parts, len(frame), request.attempt,
        )  # fmt: skip
        piece = frame[part * PART_SIZE : (part + 1) * PART_SIZE]
        yield header + len(name).to_bytes(2, "big") + name + piece
