#!/usr/bin/env python3
"""Kills Sealwright under load, again and again, and judges from outside whether anything was lost.

A cycle: `sealwright serve` is started on the store that the last cycle left; 16 connections send mail until at least 50
were accepted; at a moment drawn by lot the process gets SIGKILL. Now and then it is killed while it starts, and now
and then after the load has stopped, amid deliveries. Every `--judge-every` cycles, and at the end, it runs undisturbed
until all accepted mail is finished; then the judge compares

  accepted.jsonl   each 2xx with key and id, synced before it counts      (load.py)
  copies.jsonl     each message, synced before the receiver says 250      (sinks.py)
  events.jsonl     each webhook, synced before it is answered 200         (sinks.py)

with what the API then shows. What is checked, and in which words it fails, is in judge.py. Needs nothing but Python
3.9 and, for `--engine postgres`, PostgreSQL's server programs. Exit status: 0 nothing found, 1 violations, 2 no verdict.

  tools/crash/crash.py --engine sqlite --cycles 200
  tools/crash/crash.py --engine postgres --cycles 200 --kill-postgres
  tools/crash/crash.py --seed 7                        # the same mail and the same moments again

The seed repeats the plan: mails, moments, kinds of kills. Threads and disks are not repeated by it.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import judge
import journal
from load import CONCURRENCY, Load, Unknown
from powercut import PowerCut
from system import START_SECONDS_MAX, Certificates, Failed, Postgres, Sealwright, Sinks, binary

ACCEPTED_PER_CYCLE_MIN = 50
ACCEPTED_PER_CYCLE_SPREAD = 30
# The kill comes up to this long after the last mail that was waited for.
KILL_DELAY_S_MAX = 0.25
# Of 100 cycles, how many let deliveries run for a moment without load before the kill, and how many begin with a kill
# during the start.
PERCENT_QUIET = 30
PERCENT_KILLED_AT_START = 10
START_KILL_S_MAX = 0.3
# Every so many cycles PostgreSQL dies together with Sealwright: only then does a commit that was asked for stay undone,
# because the server finishes what a dead client has sent.
POSTGRES_DIES_TOO_EVERY = 5
# With --kill-postgres, every so many cycles it also dies under a Sealwright that lives on.
POSTGRES_KILLED_EVERY = 10
# What is under way is given up when nothing of it has moved for so long. A dead node's leases are taken over after ten
# seconds. Where PostgreSQL is killed, attempts are deferred, and the first wait of mail is two minutes.
STILL_SECONDS_MAX = 30
STILL_SECONDS_MAX_POSTGRES_KILLED = 180
CYCLE_SECONDS_MAX = 120
POLL_S = 0.1
PAGE = 100
PROGRESS_EVERY = 10
# Violations of one check that are printed; all of them are counted.
SHOWN_PER_CHECK = 5


def main(kind, options):
    """One run, from its folder to its verdict."""
    work = Path(tempfile.mkdtemp(prefix="sealwright-crash-", dir=options.work))
    work.chmod(0o711)
    say(options, f"seed {options.seed}, {options.cycles} cycles, files in {work}")
    try:
        with ExitStack() as cleanup:
            run = kind(options, work, cleanup)
            asyncio.run(run.all_cycles())
        violations = run.violations
    except (Failed, asyncio.CancelledError, KeyboardInterrupt) as failed:
        failed = failed if isinstance(failed, Failed) else "interrupted"
        say(options, f"no verdict: {failed} (seed {options.seed}, files in {work})")
        return 2
    report(options, run, violations)
    if violations or options.keep:
        say(options, f"everything that was recorded is in {work}")
    else:
        shutil.rmtree(work)
    return 1 if violations else 0


def arguments():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    options.add_argument("--cycles", type=int, default=200, help="kills under load (200)")
    options.add_argument("--judge-every", type=int, default=50, help="cycles between judgements; the first violation ends it (50)")
    options.add_argument("--kill-postgres", action="store_true", help="kill PostgreSQL under a living Sealwright too")
    options.add_argument("--power-cut", action="store_true", help="each kill takes with it what SQLite has not synced (powercut.c)")
    options.add_argument("--lying-disk", action="store_true", help="the same with a disk whose sync does nothing: this has to be found")
    options.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats the plan of an earlier run")
    options.add_argument("--work", help="where to make the folder of this run (the system's temporary folder)")
    options.add_argument("--keep", action="store_true", help="keep that folder also when nothing was found")
    options = options.parse_args()
    if options.engine == "postgres" and (options.power_cut or options.lying_disk):
        sys.exit("power is cut under SQLite only")
    return options


def say(options, text):
    print(f"crash-{options.engine}: {text}", flush=True)


class Run:
    """One engine, one store, all cycles."""

    def __init__(self, options, work, cleanup):
        self.options, self.work = options, work
        self.violations = []
        self.evidence = judge.Evidence()
        self.starts_s = []
        self.kills = self.postgres_kills = 0
        self.cycles = 0
        program = binary()
        certificates = Certificates(program, work)
        self.sinks = Sinks(work, certificates)
        cleanup.callback(self.sinks.stop)
        self.postgres = None
        urls = {}
        if options.engine == "postgres":
            self.postgres = Postgres(work)
            cleanup.callback(self.postgres.stop)
            self.postgres.add_login()
            urls = self.urls(work, cleanup)
        self.power_cut = PowerCut(work, options.lying_disk) if options.power_cut or options.lying_disk else None
        self.sealwright = Sealwright(program, work, certificates, self.sinks, urls, self.power_cut)
        cleanup.callback(self.sealwright.kill)
        self.key = self.sealwright.account()
        self.authority = certificates.authority

    def urls(self, work, cleanup):
        return self.postgres.urls()

    async def all_cycles(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
        recorder = journal.Journal(self.work / "accepted.jsonl")
        self.load = Load(self.sealwright.port, self.authority, self.key, recorder, self.options.seed)
        await self.start()
        await self.add_webhook()
        self.sealwright.kill()
        try:
            await self.cycles_until_found()
        finally:
            self.load.end()

    async def cycles_until_found(self):
        began = time.monotonic()
        for cycle in range(1, self.options.cycles + 1):
            await self.cycle(cycle)
            self.cycles = cycle
            if cycle % PROGRESS_EVERY == 0:
                took = time.monotonic() - began
                say(self.options, f"cycle {cycle}, {len(self.load.accepted)} accepted, {took:.0f} s")
            if cycle % self.options.judge_every == 0 or cycle == self.options.cycles:
                await self.judge()
                if self.violations:
                    return

    async def cycle(self, number):
        # Of its own, so that the plan of a cycle does not hang on how many draws others made before.
        chance = random.Random(f"{self.options.seed}/{number}")
        if chance.random() * 100 < PERCENT_KILLED_AT_START:
            self.sealwright.start()
            await asyncio.sleep(chance.uniform(0, START_KILL_S_MAX))
            self.kill()
        wanted = len(self.load.accepted) + ACCEPTED_PER_CYCLE_MIN + chance.randrange(ACCEPTED_PER_CYCLE_SPREAD)
        is_quiet = chance.random() * 100 < PERCENT_QUIET
        delay_s = chance.uniform(0, KILL_DELAY_S_MAX)
        await self.start()
        self.load.start(number)
        if self.postgres and self.options.kill_postgres and number % POSTGRES_KILLED_EVERY == 0:
            await asyncio.sleep(chance.uniform(0, KILL_DELAY_S_MAX))
            self.kill_postgres(number)
            await self.restart_postgres()
        deadline = time.monotonic() + CYCLE_SECONDS_MAX
        while len(self.load.accepted) < wanted:
            self.sealwright.require_alive()
            if time.monotonic() > deadline:
                raise Failed(f"cycle {number}: fewer than {ACCEPTED_PER_CYCLE_MIN} mails accepted in {CYCLE_SECONDS_MAX} s")
            await asyncio.sleep(0.002)
        if is_quiet:
            await self.load.stop()
        await asyncio.sleep(delay_s)
        if self.postgres and number % POSTGRES_DIES_TOO_EVERY == 0:
            self.kill_postgres(number)
            self.kill()
            await self.load.stop()
            await self.restart_postgres()
        else:
            self.kill()
            await self.load.stop()

    def kill(self):
        self.sealwright.kill()
        self.kills += 1

    def kill_postgres(self, number):
        """Now at once with all its sessions, now its parent process alone, whose children finish what they are at."""
        self.postgres.kill(signal.SIGKILL if number // POSTGRES_DIES_TOO_EVERY % 3 == 0 else signal.SIGQUIT)
        self.postgres_kills += 1

    async def restart_postgres(self):
        await asyncio.get_running_loop().run_in_executor(None, self.postgres.start)

    async def start(self):
        """Starts the system and waits for its first answer."""
        began = time.monotonic()
        self.sealwright.start()
        client = self.load.client()
        try:
            while True:
                self.sealwright.require_alive()
                try:
                    status, _, _ = await client.request("GET", "/healthz")
                    if status == 200:
                        break
                except Unknown:
                    pass
                if time.monotonic() - began > START_SECONDS_MAX:
                    raise Failed(f"sealwright did not answer within {START_SECONDS_MAX} s of its start")
                await asyncio.sleep(0.005)
        finally:
            client.close()
        self.starts_s.append(time.monotonic() - began)

    async def ask(self, method, path, body=None, client=None):
        """A request that has to be answered; status and parsed body."""
        own = client or self.load.client()
        try:
            status, _, answer = await own.request(method, path, body)
            return status, json.loads(answer)
        except Unknown as error:
            raise Failed(f"{method} {path} got no answer although nothing was killed: {error}") from error
        finally:
            if client is None:
                own.close()

    async def add_webhook(self):
        hook = {"url": f"https://localhost:{self.sinks.ports['hooks']}/events", "events": ["email.*"]}
        status, answer = await self.ask("POST", "/v1/webhooks", hook)
        if status != 201:
            raise Failed(f"the webhook was refused: {answer}")

    async def judge(self):
        """Lets the system finish, gathers the evidence, and judges."""
        await self.start()
        await self.load.resolve()
        await self.settle(self.mails_under_way)
        evidence = self.evidence
        evidence.listed = await self.list_all()
        evidence.usage = (await self.ask("GET", "/v1/usage"))[1]["data"]
        self.read_records()
        await self.look_at(evidence.shown, self.show, evidence_ids(evidence) - evidence.shown.keys())
        await self.settle(self.events_under_way)
        beyond = judge.copies_beyond_one(evidence.copies)
        await self.look_at(evidence.attempts, self.show_attempts, set(beyond) - evidence.attempts.keys())
        self.kill()
        evidence.unexpected = self.load.unexpected
        evidence.incidents = self.incidents()
        self.violations = judge.judge(evidence)

    def read_records(self):
        self.evidence.accepted = journal.read(self.work / "accepted.jsonl")
        self.evidence.copies = journal.read(self.work / "copies.jsonl")
        self.evidence.events = journal.read(self.work / "events.jsonl")

    async def settle(self, under_way):
        """Until nothing is under way, or nothing has moved for long: what is left then is for the judge."""
        is_patient = self.options.kill_postgres
        patience_s = STILL_SECONDS_MAX_POSTGRES_KILLED if is_patient else STILL_SECONDS_MAX
        last, moved_at = None, time.monotonic()
        while time.monotonic() - moved_at < patience_s:
            self.sealwright.require_alive()
            now = await under_way()
            if now == 0:
                return
            if now != last:
                last, moved_at = now, time.monotonic()
            await asyncio.sleep(POLL_S)

    async def mails_under_way(self):
        counts = [
            (await self.ask("GET", f"/v1/emails?limit=1&status={status}"))[1]["totalCount"]
            for status in ("queued", "deferred", "sent")
        ]
        return sum(counts)

    async def events_under_way(self):
        """Events of the timelines that have not reached the webhook."""
        self.read_records()
        came = {event["id"] for event in self.evidence.events}
        return sum(len(set(shown["events"]) - came) for shown in self.evidence.shown.values() if shown)

    async def list_all(self):
        listed, after = {}, ""
        client = self.load.client()
        while True:
            status, page = await self.ask("GET", f"/v1/emails?limit={PAGE}{after}", client=client)
            if status != 200:
                raise Failed(f"the list was answered {status}: {page}")
            listed.update((email["id"], email["status"]) for email in page["data"])
            if not page["hasMore"]:
                client.close()
                return listed
            after = f"&starting_after={page['data'][-1]['id']}"

    async def look_at(self, into, show, ids):
        """Fills `into` for each id, over several connections."""
        left = sorted(ids)

        async def some():
            client = self.load.client()
            while left:
                email = left.pop()
                into[email] = await show(client, email)
            client.close()

        await asyncio.gather(*(some() for _ in range(CONCURRENCY)))

    async def show(self, client, email):
        status, answer = await self.ask("GET", f"/v1/emails/{email}", client=client)
        if status != 200:
            return None
        recipients = {recipient["recipient"]: recipient["status"] for recipient in answer["recipients"]}
        return {"status": answer["status"], "recipients": recipients, "events": [event["id"] for event in answer["events"]]}

    async def show_attempts(self, client, email):
        status, answer = await self.ask("GET", f"/v1/emails/{email}/attempts", client=client)
        return [attempt["state"] for attempt in answer["data"]] if status == 200 else []

    def incidents(self):
        """A panic is a violation even when its effect was repaired."""
        found = [f"sealwright: {line.strip()[:300]}" for line in lines(self.sealwright.log) if "panicked" in line]
        return found + [f"sinks: {line.strip()[:300]}" for line in lines(self.sinks.log)]


def lines(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readlines()


def evidence_ids(evidence):
    return {line["id"] for line in evidence.accepted} | evidence.listed.keys()


def report(options, run, violations):
    evidence, load = run.evidence, run.load
    beyond = judge.copies_beyond_one(evidence.copies)
    in_doubt = sum("an attempt is in doubt" in line for line in lines(run.sealwright.log))
    starts = sorted(run.starts_s)
    of_check = Counter()
    for violation in violations:
        of_check[violation.check] += 1
        if of_check[violation.check] <= SHOWN_PER_CHECK:
            say(options, f"VIOLATION ({violation.check}) of cycle {violation.cycle}: {violation.text}")
    lost = {v.text.split()[0] for v in violations if v.text.endswith("lost")}
    postgres = f", {run.postgres_kills} of PostgreSQL" if run.postgres else ""
    if run.power_cut:
        postgres += f", {run.power_cut.undone} writes undone"
    ids = {line["id"] for line in evidence.accepted}
    say(
        options,
        f"seed {options.seed}: {run.cycles} cycles, {run.kills} kills{postgres}, {len(ids)} accepted, {len(lost)} lost, "
        f"{sum(v.check == 'one id' for v in violations)} double ids, {len(evidence.accepted)} answers "
        f"({load.replayed_unknown} of them to requests whose first answer was cut off, {load.repeated} repeated on purpose), "
        f"{len(evidence.copies)} copies, {sum(beyond.values())} duplicates, {in_doubt} attempts in doubt, "
        f"{len(evidence.events)} webhooks, first answer after a start: median {starts[len(starts) // 2]:.2f} s, "
        f"longest {starts[-1]:.2f} s",
    )
    for check, count in of_check.items():
        say(options, f"not held, {count} times: {judge.CHECKS[check]}")
    say(options, f"{len(judge.CHECKS) - len(of_check)} passed, {len(of_check)} failed")


if __name__ == "__main__":
    sys.exit(main(Run, arguments()))
