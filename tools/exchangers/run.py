#!/usr/bin/env python3
"""Sends mail through the real server, on both engines, to a farm of mail exchangers on loopback, and judges what arrives.

The farm: Postfix, Exim, Dovecot's LMTP server behind that Postfix, and receivers that misbehave; Knot has the DNS in which they are found.
Nothing leaves the machine. Words name parts: `tools/test-farm.sh smuggle_out scores`.

Exit status: 0 when everything held, 1 when something did not, 2 without a verdict. Needs root, for mailboxes and for a mount namespace.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
# Starting and ending processes is the same as in the crash tests, and verdicts are told as for the edge.
sys.path += [str(HERE.parent / "crash"), str(HERE.parent / "edge")]

import ledger
import manners
import names
import returned
import scores
import smuggle_in
import smuggle_out
import submission
from hostile import Hostile
from house import House
from receivers import Dovecot, Exim, Postfix
from system import Certificates, Failed, Postgres, binary, free_port
from verdicts import Verdicts

ENGINES = ("sqlite", "postgres")
PARTS = {"returned": returned, "submission": submission, "smuggle_out": smuggle_out, "smuggle_in": smuggle_in, "scores": scores}
ALL = (*PARTS, "manners")
# Receivers store what they took a moment after they took it.
SETTLED_WITHIN_S = 10
POLL_S = 0.2


class Town:
    """Everybody on the farm, and the installations that write to them."""

    def __init__(self, folder, cleanup):
        self.port, self.folder, self.cleanup = free_port(), folder, cleanup
        self.certificates = certificates = Certificates(binary(), folder)
        self.hostile = Hostile()
        self.houses = [self._house(engine, number, folder, certificates, cleanup) for number, engine in enumerate(ENGINES, 1)]
        zones, self.dkim_keys = {".": names.world(self.hostile.addresses, self.houses)}, {}
        for house in self.houses:
            records = house.found()
            zones[house.domain] = names.of_sender(house, records)
            self.dkim_keys |= names.keys(records)
        self.knot = names.Knot(new(folder / "knot"), zones)
        cleanup.callback(self.knot.stop)
        store = Dovecot(folder / "dovecot")
        cleanup.callback(store.stop)
        self.postfix = Postfix(folder / "postfix", certificates, self.port, self.houses, store)
        cleanup.callback(self.postfix.stop)
        exim = Exim(folder / "exim", certificates, self.port, self.houses)
        cleanup.callback(exim.stop)
        self._real = (self.postfix, exim, store)
        cleanup.callback(self.hostile.stop)
        self.hostile.start(self.port)
        # Second messages that a test of ours has made on purpose.
        self.forgiven = 0
        for house in self.houses:
            house.settle_in(self.port, self.knot)
            house.start(contact=f"security@{names.POSTFIX}")
            cleanup.callback(house.stop)

    @staticmethod
    def _house(engine, number, folder, certificates, cleanup):
        urls = {}
        if engine == "postgres":
            postgres = Postgres(new(folder / "database"))
            cleanup.callback(postgres.stop)
            postgres.add_login()
            urls = postgres.urls()
        return House(engine, number, new(folder / engine), certificates, urls)

    def real_copies(self):
        return [copy for receiver in self._real for copy in receiver.copies()]

    def copies(self):
        return self.real_copies() + self.hostile.copies()

    @staticmethod
    def settles(is_so):
        """Whether it is so within the time that receivers take to store."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while not is_so():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def new(folder):
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("parts", nargs="*", choices=[*ALL, []], metavar="PART", help=f"of {', '.join(ALL)}")
    options.add_argument("--keep", action="store_true", help="keep the folder of this run")
    options = options.parse_args()
    if os.geteuid() != 0:
        print("farm: no verdict: needs root", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="sealwright-farm-"))
    folder.chmod(0o755)
    verdicts, begun = Verdicts("farm"), time.monotonic()
    try:
        with ExitStack() as cleanup:
            judge(verdicts, Town(folder, cleanup), options.parts or ALL)
    except Failed as failed:
        print(f"farm: no verdict: {failed} (files in {folder})", file=sys.stderr)
        return 2
    verdicts.tell(f"{time.monotonic() - begun:.0f} s")
    if options.keep or verdicts.failed:
        print(f"farm: everything that was recorded is in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return verdicts.close()


def judge(verdicts, town, parts):
    """Mail that has to wait minutes is sent first and judged last."""
    begun = manners.send(town.houses) if "manners" in parts else {}
    if begun:
        manners.judge_others(verdicts, town.houses)
    for name in parts:
        if name in PARTS:
            PARTS[name].judge(verdicts, town)
    if begun:
        manners.judge(verdicts, begun, town.hostile)
    ledger.judge(verdicts, town)


if __name__ == "__main__":
    sys.exit(main())
