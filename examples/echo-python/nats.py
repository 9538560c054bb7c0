"""As much of NATS' text protocol as a handler needs, on a plain socket: https://docs.nats.io/reference/reference-protocols/nats-protocol."""

import json
import select
import socket
import time
from urllib.parse import unquote, urlsplit


class Lost(OSError):
    """The connection ended."""


class Connection:
    """One connection to a NATS server, for one thread."""

    def __init__(self, url, name, limit=2.0):
        address = urlsplit(url)
        try:
            self._socket = socket.create_connection((address.hostname, address.port or 4222), limit)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._buffer = bytearray()
            self._subscriptions = 0
            self._line()  # INFO, of which nothing is needed here
            options = {"verbose": False, "pedantic": False, "lang": "python", "version": "1", "protocol": 1, "name": name}
            if address.username:
                options |= {"user": unquote(address.username), "pass": unquote(address.password or "")}
            self._send(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
            if (line := self._line()) != b"PONG":
                raise Lost(line.decode())
        except (socket.timeout, ValueError) as err:
            raise Lost(str(err)) from err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def subscribe(self, subject):
        self._subscriptions += 1
        self._send(f"SUB {subject} {self._subscriptions}\r\n".encode())

    def publish(self, subject, payload):
        self._send(f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def ping(self):
        """Has the server say something, which moves heard."""
        self._send(b"PING\r\n")

    def finish(self):
        """Sends nothing more and waits until the server has read everything."""
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(1 << 18):
            pass

    def next(self, wait):
        """The next message as (subject, reply subject, payload); None if none comes within wait seconds."""
        while b"\r\n" in self._buffer or select.select([self._socket], [], [], wait)[0]:
            words = self._line().split(b" ")
            if words[0] == b"MSG":
                payload = self._read(int(words[-1]))
                self._read(2)
                return words[1].decode(), words[3].decode() if len(words) == 5 else "", payload
            if words[0] == b"PING":
                self._send(b"PONG\r\n")
            elif words[0] == b"-ERR":
                raise Lost(b" ".join(words).decode())
        return None

    def _line(self):
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._fill()
        return self._read(end + 2)[:-2]

    def _read(self, n):
        while len(self._buffer) < n:
            self._fill()
        out = bytes(self._buffer[:n])
        del self._buffer[:n]
        return out

    def _fill(self):
        got = self._socket.recv(1 << 18)
        if not got:
            raise Lost("NATS closed the connection")
        self._buffer += got
        self.heard = time.monotonic()

    def _send(self, b):
        self._socket.sendall(b)
