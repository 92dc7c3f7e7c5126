"""Floods on HTTP/2: requests given up at once, heads without end, frames that have to be answered."""

import json
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from good_client import GROW_S, attacker, is_unmoved
from server import serving

FLOOD = Path(__file__).with_name("flood.py")
# How long each is measured. A connection that makes no request is ended after 10 seconds.
FLOODS = (("Rapid Reset", ["resets"], 4), ("CONTINUATION", ["continuations"], 4), ("SETTINGS and PING", ["settings", "pings"], 14))
# What one connection may get rid of, its buffers included, before it notices that it was ended; not where time is what ends it.
FRAMES_MAX = {"resets": 10_000, "continuations": 50_000}


def judge(verdicts, certificates):
    verdicts.part("floods on HTTP/2")
    for name, kinds, seconds in FLOODS:
        with serving(certificates) as server:
            before = server.resident_kib()
            attackers = is_unmoved(verdicts, server, name, lambda: floods(server, kinds, seconds + GROW_S), seconds)
            grown = server.resident_kib() - before
        for kind, told in attackers.items():
            connections, ended, most = told["connections"], told["ended"], told["most"]
            # The last one ends when its time is over.
            is_ended = ended > 0 and connections - ended <= 1 and most <= FRAMES_MAX.get(kind, most)
            verdicts.holds(f"{name}: the server ends each connection that floods it with {kind}", is_ended,
                           f"{ended} of {connections}, after {most:,} frames at most")
        verdicts.tell(f"memory of the server grew by {grown / 1024:.0f} MiB")


@contextmanager
def floods(server, kinds, seconds):
    """What each attacker told at its end, by its kind; filled in when the block is left."""
    told = {}
    with ExitStack() as running:
        processes = {
            kind: running.enter_context(attacker(sys.executable, FLOOD, kind, server.port, server.authority, seconds, quietly=False))
            for kind in kinds
        }
        yield told
        for kind, process in processes.items():
            told[kind] = json.loads(process.communicate(timeout=30)[0])
