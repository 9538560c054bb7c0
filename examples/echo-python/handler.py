"""The life of a handler: announcements, requests, the end. The rules are those of docs/request-channel.md."""

import json
import secrets
import signal
import sys
import time

import envelope
import nats

INTERVAL = 1.0  # seconds between announcements
TIMEOUT = 2.0  # of an instance without announcement, and of a request's announcement number
TICK = 0.1  # how soon a signal is seen


class Handler:
    """One instance of a service; answer makes the frame of a response from that of a request."""

    def __init__(self, url, service, window, answer, prefix="kanal", cluster="kanal"):
        self.url, self.service, self.window, self.answer = url, service, window, answer
        self.base, self.id = f"{prefix}.{cluster}.", secrets.token_hex(11)
        self.state, self.session = "ready", 0
        self.number = self.least = 0  # announcements below least are of an earlier connection
        self.published = {}  # when, by announcement number
        self.front_ends = {}  # by id: what they have seen draining, and when they were heard
        self.parts = {}  # frames that have not come whole, by front end and request id
        self.nc = None

    def run(self):
        """Answers until SIGTERM or SIGINT, then leaves in order."""
        stopping = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.append(True))
        while True:
            try:
                with nats.Connection(self.url, self.service + "-python") as self.nc:
                    return self.serve(stopping)
            except OSError as err:
                if stopping:
                    return None
                log("waiting for NATS", str(err))
                time.sleep(0.25)
                # What NATS had for us is lost: our requests are dispatched again.
                self.session, self.least = self.session + 1, self.number + 1
                self.parts.clear()

    def serve(self, stopping):
        self.nc.subscribe(self.base + "request." + self.id)
        self.nc.subscribe(self.base + "frontends")
        self.announce()
        log("ready", self.id)
        while not stopping:
            self.step()
        self.state, first = "draining", self.number + 1
        self.announce()
        limit = time.monotonic() + TIMEOUT
        while time.monotonic() < limit and not self.seen_by_all(first):
            self.step()
        self.state = "gone"  # nothing is held: requests are answered as they come
        self.announce()
        self.nc.finish()
        log("stopped in order", self.id)

    def step(self):
        """Takes a message, if there is one, and announces when it is time."""
        if message := self.nc.next(TICK):
            subject, reply, payload = message
            try:
                if subject == self.base + "frontends":
                    self.hear(json.loads(payload))
                else:
                    self.take(reply, payload)
            except (ValueError, KeyError, TypeError, AttributeError) as err:
                log("ignored a message on", subject, repr(err))
        now = time.monotonic()
        if now - self.nc.heard > 2 * TIMEOUT:
            raise nats.Lost("NATS is silent")
        silent = [i for i, (_, at) in self.front_ends.items() if now - at > TIMEOUT]
        for front_end in silent:
            self.forget(front_end)
        if silent or now - self.published[self.number] >= INTERVAL:
            self.announce()

    def announce(self):
        self.number, now = self.number + 1, time.monotonic()
        self.published = {n: at for n, at in self.published.items() if now - at <= TIMEOUT}
        self.published[self.number] = now
        announcement = {
            "v": 1, "id": self.id, "number": self.number, "session": self.session, "service": self.service,
            "release": "0.1.0", "state": self.state, "window": self.window, "frontEnds": len(self.front_ends),
        }  # fmt: skip
        self.nc.publish(self.base + "handlers", json.dumps(announcement).encode())
        self.nc.ping()

    def hear(self, front_end):
        before = len(self.front_ends)
        if front_end["state"] == "gone":
            self.forget(front_end["id"])
        else:
            self.front_ends[front_end["id"]] = front_end.get("draining", {}), time.monotonic()
        if len(self.front_ends) != before:
            self.announce()  # a new one learns of us, and the shares of the window change

    def forget(self, front_end):
        self.front_ends.pop(front_end, None)
        self.parts = {key: parts for key, parts in self.parts.items() if key[0] != front_end}

    def seen_by_all(self, number):
        return all(draining.get(self.id, 0) >= number for draining, _ in self.front_ends.values())

    def take(self, reply, payload):
        kind = envelope.kind_of(payload)
        if kind == b"Q":
            self.request(envelope.parse_request(payload), reply)
        elif kind == b"C":
            # What came whole has been answered already: nothing to end but the collecting of parts.
            front_end = reply.removeprefix(self.base + "response.").split(".")[0]
            self.parts.pop((front_end, envelope.parse_cancel(payload)[0]), None)
        elif kind != b"P":
            raise envelope.Invalid(f"kind {kind}")

    def request(self, request, reply):
        if request.parts > 1 and not self.whole(request):
            return
        if self.stale(request):
            return self.reply(request, reply, envelope.NOT_TAKEN)
        begun = time.monotonic()
        frame = self.answer(request.frame)
        self.reply(request, reply, envelope.SEND, frame, int((time.monotonic() - begun) * 1e6))

    def whole(self, request):
        """Collects parts, which come in order; true when request has become the whole."""
        key = request.front_end, request.id
        collected = self.parts.pop(key, []) if request.part else []
        if len(collected) != request.part:
            raise envelope.Invalid(f"part {request.part} after {len(collected)}")  # parts are lost, or it was cancelled
        collected.append(request.frame)
        if len(collected) < request.parts:
            self.parts[key] = collected
            return False
        request.frame = b"".join(collected)
        if len(request.frame) != request.total:
            raise envelope.Invalid(f"{len(request.frame)} bytes in parts, {request.total} announced")
        return True

    def stale(self, request):
        at = self.published.get(request.announcement)
        return self.state != "ready" or at is None or request.announcement < self.least or time.monotonic() - at > TIMEOUT

    def reply(self, request, reply, kind, frame=b"", ran=0):
        if len(frame) > envelope.SMALL:
            reply = f"{self.base}response.{request.front_end}.large"
        for message in envelope.response(request, kind, frame, ran=ran):
            self.nc.publish(reply, message)


def log(*words):
    print(*words, file=sys.stderr, flush=True)
