"""slowhttptest in its four modes: heads, bodies and readers that crawl, and heads that ask for many ranges.

It can't be told to send a key, but it writes a cookie as it is given: with a line break in it, the attack comes from a caller whom the
server knows, and gets past the door. All its connections come from one network, so the limits as shipped cut most of them off; with the
limit of a network raised, the deadlines are what is left.
"""

import http.client
import json
from contextlib import ExitStack, contextmanager

from good_client import attacker, is_unmoved
from server import DOMAIN, serving

CONNECTIONS = 200
AS_SHIPPED_SECONDS = 8
# Heads and bodies have 10 seconds, readers 30 from where they stop; their letters have to be opened first.
SECONDS = {"slow heads": 12, "slow bodies": 12, "ranges": 4, "slow readers": 42}
# How much memory the server may take at its most, above what it took at rest. 64 MiB of answers may wait for their readers, each in a
# buffer that may be twice as large; the rest is for 200 connections, and for letters that are being opened.
GROWN_MIB_MAX = 250
# What the server counts. A reader whose answer had to make room for another's need not wait for its deadline.
CUT_OFF = {
    "slow heads": [("connections_closed_total", {"kind": "slow_head"})],
    "slow bodies": [("requests_total", {"route": "/v1/emails", "status": "408"})],
    "slow readers": [("connections_closed_total", {"kind": "slow_reader"}), ("connections_closed_total", {"kind": "backlog"})],
}
# More than the system keeps for a connection whose other side does not read.
LETTER_BYTES = 1 << 20


def judge(verdicts, certificates):
    verdicts.part(f"slowhttptest, {CONNECTIONS} connections for each mode")
    with serving(certificates) as server:
        commands = against(server)
        is_unmoved(verdicts, server, "all four modes at once, limits as shipped",
                   lambda: all_of(commands.values()), AS_SHIPPED_SECONDS)
        refused = server.counted("connections_closed_total", kind="network_full")
        verdicts.holds("one network gets 64 connections, the others are closed at once", refused >= CONNECTIONS, f"{refused} closed")
    for mode, seconds in SECONDS.items():
        with serving(certificates, SERVER_CONNECTIONS_PER_NETWORK_MAX=10_000) as server:
            one_mode(verdicts, server, mode, seconds)


def one_mode(verdicts, server, mode, seconds):
    command = against(server)[mode]
    before = server.resident_kib()
    is_unmoved(verdicts, server, f"{mode}, no limit of connections", lambda: attacker(*command), seconds)
    grown = (server.resident_kib("VmHWM") - before) / 1024
    verdicts.holds(f"{mode} take {GROWN_MIB_MAX} MiB of memory at most", grown <= GROWN_MIB_MAX, f"{grown:.0f} MiB")
    if mode in CUT_OFF:
        counts = {", ".join([metric, *labels.values()]): server.counted(metric, **labels) for metric, labels in CUT_OFF[mode]}
        verdicts.holds(f"{mode} are cut off, and counted as what they are", sum(counts.values()) >= CONNECTIONS, f"{counts}")


def against(server):
    """The four commands."""
    url = f"https://localhost:{server.port}"
    known = ["-j", f"a=b\r\nAuthorization: Bearer {server.key}"]
    always = ["-l", max(SECONDS.values()) + 10, "-p", 3, *known]
    modes = {
        "slow heads": ["-H", "-i", 5, "-x", 24, "-u", f"{url}/v1/me"],
        "slow bodies": ["-B", "-i", 5, "-x", 10, "-s", 8192, "-f", "application/json", "-u", f"{url}/v1/emails"],
        "ranges": ["-R", "-t", "GET", "-b", 1000, "-u", f"{url}/v1/me"],
        "slow readers": ["-X", "-n", 2, "-w", 64, "-y", 128, "-z", 16, "-k", 3, "-u", f"{url}/v1/emails/{letter(server)}"],
    }
    return {
        mode: ["slowhttptest", "-c", CONNECTIONS, "-r", CONNECTIONS, *always, *command] for mode, command in modes.items()
    }


def letter(server):
    """An e-mail that is long to read."""
    connection = http.client.HTTPSConnection(*server.address, context=server.tls("http/1.1"))
    mail = {"from": f"shop@{DOMAIN}", "to": "ada@example.com", "subject": "Long", "text": "long " * (LETTER_BYTES // 5)}
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/emails", json.dumps(mail), headers)
    sent = json.load(connection.getresponse())
    connection.close()
    return sent["id"]


@contextmanager
def all_of(commands):
    with ExitStack() as running:
        for command in commands:
            running.enter_context(attacker(*command))
        yield
