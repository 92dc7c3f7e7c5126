"""Ten thousand connections that say nothing, with the limits as shipped: a good client still gets in."""

import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from good_client import is_unmoved
from server import serving
from system import die_with_parent

CROWD = Path(__file__).with_name("crowd.py")
CONNECTIONS = 10_000
# What the server and this process need besides.
OTHER_DESCRIPTORS = 300
SECONDS = 6


def judge(verdicts, certificates):
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(CONNECTIONS, limit - OTHER_DESCRIPTORS)
    verdicts.part(f"{count:,} idle connections" + (f", all that {limit} descriptors allow" if count < CONNECTIONS else ""))
    with serving(certificates) as server:
        before = server.resident_kib()
        seen = is_unmoved(verdicts, server, "idle connections", lambda: crowd(server, count), SECONDS)
    verdicts.holds("all of them are served", seen["joined"] == count, f"{seen['joined']:,} in {seen['took']:.0f} s")
    verdicts.holds("those whom the good client needs room from are closed, the others stay",
                   seen["open"] >= count - seen["shed"] and (seen["shed"] > 0 or count < CONNECTIONS),
                   f"{seen['shed']} closed, {seen['open']:,} are open")
    verdicts.tell(f"memory of the server: {before / 1024:.0f} MiB before, {seen['resident'] / 1024:.0f} MiB with them, "
                  f"{(seen['resident'] - before) / count:.1f} KiB for each")


@contextmanager
def crowd(server, count):
    """A crowd that has arrived."""
    began = time.monotonic()
    command = [sys.executable, CROWD, str(server.port), server.authority, server.key, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    try:
        seen = {"joined": int(process.stdout.readline() or 0), "took": time.monotonic() - began}
        yield seen
        seen |= {"open": server.counted("connections"), "resident": server.resident_kib(),
                 "shed": server.counted("connections_closed_total", kind="shed")}
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()
