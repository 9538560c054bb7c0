"""Holds envelope.py against the test vectors of the request channel: python3 -m unittest, in this folder."""

import pathlib
import unittest

import envelope

VECTORS = pathlib.Path(__file__).parents[2] / "libs" / "requestchannel" / "testdata"


def vector(name):
    return bytes.fromhex((VECTORS / f"{name}.hex").read_text())


def answering(id=42, token=7, attempt=1):
    """A request of which only what its answer needs matters."""
    request = envelope.parse_request(vector("request"))
    request.id, request.token, request.attempt = id, token, attempt
    return request


class Vectors(unittest.TestCase):
    def test_request(self):
        r = envelope.parse_request(vector("request_all"))
        want = envelope.Request(
            flags=7, api_key=1, api_version=13, processor=3, id=0x0001_0000_0000_002A, token=0x1122334455667788,
            announcement=7, broker=2, age=1500, deadline=30000, granted=1 << 20, part=1, parts=2, total=600000,
            redirects=1, security_protocol=3, attempt=4,
            strings=["FE1", "127.0.0.1:9092-127.0.0.1:50000-3-0", "PLAINTEXT", "User:ANONYMOUS", "127.0.0.1", "franz-go", "1.22.2"],
            frame=bytes.fromhex("0001000d00000009ffff"),
        )  # fmt: skip
        self.assertEqual(r, want)
        plain = envelope.parse_request(vector("request"))
        self.assertEqual((plain.flags, plain.part, plain.parts, plain.total), (0, 0, 1, 10))

    def test_responses(self):
        send = answering(0x0001_0000_0000_002A, 0x1122334455667788, 4)
        for name, got in {
            "send": envelope.response(send, envelope.SEND, bytes([0, 0, 0, 9]), throttle=250, queued=10, ran=200, waited=3000),
            "noop": envelope.response(answering(), envelope.NO_OP),
            "redirect": envelope.response(answering(), envelope.REDIRECT, target="INSTANCE2"),
            "parked": envelope.response(answering(), envelope.PARKED, deadline=5500),
            "nottaken": envelope.response(answering(), envelope.NOT_TAKEN),
        }.items():
            self.assertEqual([m.hex() for m in got], [vector("response_" + name).hex()], name)

    def test_others(self):
        self.assertEqual([envelope.kind_of(vector(n)) for n in ("request", "cancel", "probe")], [b"Q", b"C", b"P"])
        self.assertEqual(envelope.parse_cancel(vector("cancel")), (42, False))
        self.assertEqual(envelope.parse_cancel(vector("cancel_half")), (42, True))
        self.assertIsNone(envelope.kind_of(b"no"))

    def test_every_vector_is_known(self):
        self.assertEqual(
            {p.stem for p in VECTORS.glob("*.hex")},
            {"request", "request_all", "cancel", "cancel_half", "probe"}
            | {"response_" + n for n in ("send", "noop", "redirect", "parked", "nottaken")},
        )

    def test_cut_short(self):
        b = vector("request_all")
        header = int.from_bytes(b[4:6], "big")
        for n in range(header):
            with self.assertRaises(envelope.Invalid, msg=f"{n} bytes"):
                envelope.parse_request(b[:n])

    def test_parts(self):
        frame = bytes(range(256)) * 5000
        messages = list(envelope.response(answering(), envelope.SEND, frame))
        header = len(vector("response_noop"))
        self.assertEqual(len(messages), 3)
        self.assertEqual(b"".join(m[header:] for m in messages), frame)
        self.assertEqual([(m[42:44], m[44:46], m[46:50]) for m in messages],
                         [(i.to_bytes(2, "big"), b"\0\3", len(frame).to_bytes(4, "big")) for i in range(3)])  # fmt: skip


if __name__ == "__main__":
    unittest.main()
