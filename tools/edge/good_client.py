"""A client that keeps to the rules, from an address of its own, and how long it waits while others do not.

It asks a hundred times a second at most, and comes back with a new connection every tenth time, so that a server which serves only those
who are in already is found out. What is judged is a ratio between an attack and the quiet before and after it on the same machine: of the
99th percentiles of all seconds, the median. So a second in which the machine was busy with something else does not decide, and an attack
that is felt in most seconds does. The attacker runs on that machine too, which may have two processors, and the server is a debug build:
a few milliseconds on top are the processor's, not the server's.
"""

import http.client
import math
import statistics
import subprocess
import time
from contextlib import contextmanager

from system import die_with_parent

ADDRESS = "127.0.0.2"
RATIO_MAX = 2
FLOOR_MS = 10
TRIES_MAX = 2
QUIET_WINDOWS = 2
WINDOW_S = 1
ASK_EVERY_S = 0.01
NEW_CONNECTION_EVERY = 10
ANSWER_SECONDS_MAX = 10
# An attack is let to grow for so long before its effect is measured.
GROW_S = 1


class GoodClient:
    def __init__(self, server):
        self._server, self._connection, self._asked = server, None, 0
        self._context = server.tls("http/1.1")
        self._headers = {"Authorization": f"Bearer {server.key}"}

    def measure(self, windows):
        """The 99th percentile of the waits in each window, in milliseconds, and what went wrong. Leaves no connection open."""
        percentiles, errors = [], []
        for _ in range(windows):
            percentiles.append(self._window(errors))
        self.close()
        return percentiles, errors

    def _window(self, errors):
        waits = []
        end = time.monotonic() + WINDOW_S
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                self._ask()
            except (OSError, http.client.HTTPException) as error:
                errors.append(repr(error))
                self.close()
            took = time.monotonic() - began
            waits.append(took * 1000)
            time.sleep(max(0.0, ASK_EVERY_S - took))
        return sorted(waits)[math.ceil(len(waits) * 0.99) - 1]

    def _ask(self):
        if self._asked % NEW_CONNECTION_EVERY == 0:
            self.close()
        self._asked += 1
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                *self._server.address, timeout=ANSWER_SECONDS_MAX, context=self._context, source_address=(ADDRESS, 0)
            )
        self._connection.request("GET", "/v1/me", headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")

    def close(self):
        """The next question comes with a new connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def attacker(*command, quietly=True):
    """A process that attacks. It gets the processor last: a real one would use its own."""
    process = subprocess.Popen(
        ["nice", "-n", "19", *map(str, command)], stdin=subprocess.DEVNULL, text=True, preexec_fn=die_with_parent,
        stdout=subprocess.DEVNULL if quietly else subprocess.PIPE, stderr=subprocess.DEVNULL if quietly else None,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def is_unmoved(verdicts, server, name, attack, seconds):
    """Judges what an attack, a function that gives a context, does to a good client; returns what the context gave.

    What looks like a failure is tried once more: an effect of the attack comes back, that of another program on the machine does not.
    """
    for _ in range(TRIES_MAX):
        given, is_good, detail = attacked(server, attack, seconds)
        if is_good:
            break
    verdicts.holds(f"{name}: p99 of a good client within {RATIO_MAX} times the quiet one and {FLOOR_MS} ms", is_good, detail)
    return given


def attacked(server, attack, seconds):
    """What the attack's context gave, whether the client was served well, and what it waited."""
    client = GoodClient(server)
    before, errors = client.measure(QUIET_WINDOWS)
    with attack() as given:
        time.sleep(GROW_S)
        amid, errors_amid = client.measure(seconds // WINDOW_S)
    after, errors_after = client.measure(QUIET_WINDOWS)
    errors += errors_amid + errors_after
    quiet, felt = statistics.median(before + after), statistics.median(amid)
    detail = f"{felt:.1f} ms ({max(amid):.1f} in the worst second), {quiet:.1f} ms when quiet"
    if errors:
        detail += f", {len(errors)} errors, first {errors[0]}"
    return given, not errors and felt <= RATIO_MAX * quiet + FLOOR_MS, detail
