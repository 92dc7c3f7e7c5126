"""Floods on HTTP/2: requests given up at once, heads without end, frames that have to be answered."""

import json
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from good_client import GROW_S, attacker, is_unmoved
from server import serving

FLOOD = Path(__file__).with_name("flood.py")
# How many seconds each is measured.
FLOODS = (("Rapid Reset", ["resets"], 5), ("CONTINUATION", ["continuations"], 5), ("SETTINGS and PING", ["settings", "pings"], 5))
# What one connection may get rid of before it notices that it was ended: mostly what the sockets between us hold, some megabytes.
FRAMES_MAX = {"resets": 10_000, "continuations": 50_000, "settings": 300_000, "pings": 300_000}
# Which of the server's counters say that it was the server who ended them.
COUNTED_AS = {
    "resets": ("resets", "http2_flood"), "continuations": ("http2_flood", "http2_error"),
    "settings": ("idle_frames",), "pings": ("idle_frames",),
}


def judge(verdicts, certificates):
    verdicts.part("floods on HTTP/2")
    for name, kinds, seconds in FLOODS:
        with serving(certificates) as server:
            before = server.resident_kib()
            attackers = is_unmoved(verdicts, server, name, lambda: floods(server, kinds, seconds + GROW_S), seconds)
            grown = server.resident_kib("VmHWM") - before
            kinds_counted = {kind for attacker in kinds for kind in COUNTED_AS[attacker]}
            counted = sum(server.counted("connections_closed_total", kind=kind) for kind in kinds_counted)
        for kind, told in attackers.items():
            connections, ended, most = told["connections"], told["ended"], told["most"]
            # The last one ends when its time is over.
            is_ended = ended > 0 and connections - ended <= 1 and most <= FRAMES_MAX[kind]
            verdicts.holds(f"{name}: the server ends each connection that floods it with {kind}", is_ended,
                           f"{ended} of {connections}, after {most:,} frames at most")
        # One that is ended while its client sends may end by that client's reset, before the server has read what ends it.
        ended = sum(told["ended"] for told in attackers.values())
        verdicts.holds(f"{name}: nearly all of them are counted as such", counted >= 0.9 * ended, f"{counted} of {ended}")
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
