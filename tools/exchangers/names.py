"""Who lives where: one port on a row of loopback addresses, and the DNS that leads to them, served by Knot."""

import re
import socket
import subprocess

from system import Failed, die_with_parent, free_port, wait_until

NAME_SERVER = "127.0.0.20"
POSTFIX, EXIM, DOVECOT = "postfix.example", "exim.example", "dovecot.example"
ADDRESSES = {POSTFIX: "127.0.0.21", EXIM: "127.0.0.22", DOVECOT: "127.0.0.21"}
# Where the mail store behind Postfix listens for LMTP.
STORE_ADDRESS = "127.0.0.23"
NOBODY_LISTENS = "127.0.0.29"
# The first address of receivers that misbehave; each has one of its own.
HOSTILE_FIRST = 31
# Addresses of installations, by their number: from where they send and where they listen for bounces, and what the world would see of
# them, which only spam filters are told.
INSIDE, OUTSIDE = "127.0.0.5{}", "198.51.100.{}"
# Domains of which the DNS says enough, or something that is not so.
NULL_MX, NO_DOMAIN, SECOND_HOST = "null-mx.example", "nobody.example", "second-host.example"
REVERSE = "{}.100.51.198.in-addr.arpa."

HEAD = """$ORIGIN {origin}
$TTL 60
@ IN SOA ns.hosting.example. hostmaster.hosting.example. 1 60 60 600 60
@ IN NS ns.hosting.example.
"""
CONFIG = """
server:
  listen: {address}@{port}
  rundir: {folder}
database:
  storage: {folder}
log:
  - target: {folder}/knot.log
    any: info
zone:
"""


def world(hostile, houses):
    """The root zone: everybody who receives, and the names of our addresses. What stands in no zone does not exist."""
    lines = [f"{REVERSE.format(house.number)} PTR mail.{house.domain}." for house in houses]
    lines += [f"ns.hosting.example. A {NAME_SERVER}", f"{NULL_MX}. MX 0 ."]
    for domain, address in {**ADDRESSES, **hostile}.items():
        lines += [f"{domain}. MX 10 mx.{domain}.", f"mx.{domain}. A {address}"]
    lines += [
        f"{SECOND_HOST}. MX 10 away.{SECOND_HOST}.", f"{SECOND_HOST}. MX 20 mx.{POSTFIX}.",
        f"away.{SECOND_HOST}. A {NOBODY_LISTENS}",
    ]
    return "\n".join(lines) + "\n"


def of_sender(house, records):
    """The zone of a domain that sends: what `sealwright domain add` printed, and the host of the installation."""
    host = f"mail.{house.domain}."
    return f"{records}\n@ IN MX 10 {host}\n{host} IN A {house.address}\n{host} IN A {OUTSIDE.format(house.number)}\n"


def keys(records):
    """Of what `sealwright domain add` printed: the DKIM keys by name, as verifiers ask for them."""
    found = re.findall(r"(?m)^(\S+\._domainkey\.\S+)\.\tIN\tTXT\t(.*)$", records)
    return {name: "".join(re.findall(r'"([^"]*)"', text)).encode() for name, text in found}


class Knot:
    """An authoritative name server for `zones` (name -> records), which is asked as the resolver, too."""

    def __init__(self, folder, zones):
        self.address, self.port = NAME_SERVER, free_port()
        config = CONFIG.format(address=self.address, port=self.port, folder=folder)
        for number, (zone, records) in enumerate(zones.items()):
            origin = "." if zone == "." else f"{zone}."
            (folder / f"{number}.zone").write_text(HEAD.format(origin=origin) + records)
            config += f"  - domain: {origin}\n    storage: {folder}\n    file: {number}.zone\n"
        settings = folder / "knot.conf"
        settings.write_text(config)
        with open(folder / "knot.err", "ab") as log:
            self._process = subprocess.Popen(
                ["knotd", "-c", settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        wait_until(lambda: all(self._answers(zone) for zone in zones), self._process, "knotd")

    def _answers(self, zone):
        """Whether it has authority over the zone by now: asked for its SOA, it has one."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".") if label) + b"\0"
        question = b"\x5e\xa1\0\0\0\1\0\0\0\0\0\0" + labels + b"\0\6\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(1)
            try:
                asking.sendto(question, (self.address, self.port))
                answer = asking.recv(512)
            except OSError:
                return False
        return answer[3] & 0x0F == 0 and answer[6:8] != b"\0\0"

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Failed("knotd did not end") from None
