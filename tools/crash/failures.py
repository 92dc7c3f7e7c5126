#!/usr/bin/env python3
"""Stops, pauses, restarts and replaces PostgreSQL under a Sealwright that lives on, and judges from outside what was lost.

A cycle is one failure under load: mail is accepted, the failure happens, mail is accepted again by the same process; then the load
stops, everything that was accepted comes to its end, and the judge of crash.py compares what left and arrived with what is shown.

  stopped    the server ends in order and stays away for a while
  paused     all its processes stand still for longer than an answer is waited for
  restarted  it ends in order and is started at once
  killed     all its processes get SIGKILL at once
  replaced   all its processes get SIGKILL, and a streaming standby is promoted; every commit was answered by both before

  tools/crash/failures.py                       # all of them
  tools/crash/failures.py paused replaced
"""

import argparse
import asyncio
import random
import signal
import sys
import time

from crash import CYCLE_SECONDS_MAX, Run, main, say
from system import Failed, Postgres

ACCEPTED_BEFORE = 60
ACCEPTED_AFTER = 60
AWAY_SECONDS = 5
# Longer than a statement may take (10 s) and than an answer is waited for (15 s).
PAUSED_SECONDS = 20


class Failures(Run):
    """One PostgreSQL with a standby, and one failure a cycle."""

    def urls(self, work, cleanup):
        self.standby = Postgres(work, primary=self.postgres)
        cleanup.callback(self.standby.stop)
        return self.postgres.urls(self.standby)

    async def start(self):
        """Whoever lived through a failure goes on."""
        if not self.sealwright.is_running():
            await super().start()

    async def cycle(self, number):
        failure = self.options.failures[number - 1]
        await self.start()
        self.load.start(number)
        await self.accept(ACCEPTED_BEFORE)
        began = time.monotonic()
        await getattr(self, failure)()
        over = time.monotonic()
        self.postgres_kills += 1
        await self.accept(ACCEPTED_AFTER)
        self.sealwright.require_alive()
        say(self.options, f"{failure}: away for {over - began:.1f} s, {ACCEPTED_AFTER} mails accepted {time.monotonic() - over:.1f} s later")
        await self.load.stop()

    async def accept(self, count):
        wanted, deadline = len(self.load.accepted) + count, time.monotonic() + CYCLE_SECONDS_MAX
        while len(self.load.accepted) < wanted:
            self.sealwright.require_alive()
            if time.monotonic() > deadline:
                raise Failed(f"fewer than {count} mails accepted in {CYCLE_SECONDS_MAX} s")
            await asyncio.sleep(0.01)

    async def stopped(self):
        await self.end_in_order()
        await asyncio.sleep(AWAY_SECONDS)
        await self.restart_postgres()

    async def restarted(self):
        await self.end_in_order()
        await self.restart_postgres()

    async def end_in_order(self):
        """As its operator ends it: sessions are cut off, and everything is written."""
        await asyncio.get_running_loop().run_in_executor(None, self.postgres.kill, signal.SIGINT)

    async def paused(self):
        self.postgres.signal_all(signal.SIGSTOP)
        await asyncio.sleep(PAUSED_SECONDS)
        self.postgres.signal_all(signal.SIGCONT)

    async def killed(self):
        self.end_at_once()
        await self.restart_postgres()

    async def replaced(self):
        self.end_at_once()
        self.standby.promote()
        self.postgres = self.standby

    def end_at_once(self):
        self.postgres.signal_all(signal.SIGKILL)
        self.postgres.wait()


FAILURES = ("stopped", "paused", "restarted", "killed", "replaced")


def arguments():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("failures", nargs="*", default=list(FAILURES), metavar="FAILURE", help=f"of {', '.join(FAILURES)} (all)")
    options.add_argument("--judge-every", type=int, default=1, help="failures between judgements (1)")
    options.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats the mails of an earlier run")
    options.add_argument("--work", help="where to make the folder of this run (the system's temporary folder)")
    options.add_argument("--keep", action="store_true", help="keep that folder also when nothing was found")
    options = options.parse_args()
    unknown = set(options.failures) - set(FAILURES)
    if unknown or "replaced" in options.failures[:-1]:
        sys.exit(f"failures are {', '.join(FAILURES)}; after 'replaced' there is no standby left")
    options.engine, options.cycles, options.kill_postgres = "postgres", len(options.failures), True
    options.power_cut = options.lying_disk = False
    return options


if __name__ == "__main__":
    sys.exit(main(Failures, arguments()))
