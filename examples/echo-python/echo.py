#!/usr/bin/env python3
"""The echo service in Python: it answers every frame with itself."""

import os

from handler import Handler

if __name__ == "__main__":
    Handler(
        url=os.environ.get("KANAL_NATS_URL") or "nats://127.0.0.1:4222",
        service=os.environ.get("KANAL_SERVICE", "echo"),
        window=256,
        answer=lambda frame: frame,
        prefix=os.environ.get("KANAL_SUBJECT_PREFIX", "kanal"),
        cluster=os.environ.get("KANAL_CLUSTER", "kanal"),
    ).run()
