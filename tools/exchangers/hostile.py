"""Receivers that misbehave, each in one way and on an address of its own, and one that does not. Made with aiosmtpd.

What is taken is kept at the latest moment at which a receiver can still be said to have taken it: whoever hangs after the dot has the
message. Those that refuse or vanish do it once for each message, so that the second attempt shows what the first one left behind.
"""

import asyncio
import email.parser
import socket
import struct
import threading
from collections import Counter

from aiosmtpd.smtp import SMTP

from names import HOSTILE_FIRST
from receivers import Copy, id_of

# How long the one that hangs keeps the sender waiting, and the one that greets late.
HANG_S, BANNER_S = 30, 20
DRIP_S = 0.05
PLAIN = "plain.example"
KINDS = ("plain", "hang", "closing", "mixed", "drip", "reset", "late", "greylist")
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


def domain_of(kind):
    return f"{kind}.hostile.example" if kind != "plain" else PLAIN


class Hostile:
    """All of them, in a thread of their own."""

    def __init__(self):
        self.addresses = {domain_of(kind): f"127.0.0.{HOSTILE_FIRST + place}" for place, kind in enumerate(KINDS)}
        self._taken = []
        self.seen = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self, port):
        self._thread.start()
        for kind in KINDS:
            listening = self._loop.create_server(
                lambda kind=kind: Receiver(self, kind, self._loop), self.addresses[domain_of(kind)], port
            )
            asyncio.run_coroutine_threadsafe(listening, self._loop).result(timeout=10)

    def copies(self):
        return list(self._taken)

    def take(self, kind, envelope):
        content = bytes(envelope.original_content)
        fields = email.parser.BytesHeaderParser().parsebytes(content)
        self._taken.append(Copy(id_of(fields["Message-ID"]), domain_of(kind), envelope.mail_from, content, content))

    def is_first(self, *what):
        """Whether this has not been asked before."""
        self.seen[what] += 1
        return self.seen[what] == 1

    def stop(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)


class Receiver(SMTP):
    """One connection to one of them."""

    def __init__(self, town, kind, loop):
        self._town, self._kind = town, kind
        super().__init__(self, hostname=f"mx.{domain_of(kind)}", ident="ESMTP", enable_SMTPUTF8=True, loop=loop)

    async def _handle_client(self):
        if self._kind == "late":
            await asyncio.sleep(BANNER_S)
        await super()._handle_client()

    async def push(self, status):
        """Says a reply; octet by octet where that is the fault."""
        if self._kind != "drip":
            return await super().push(status)
        for octet in status.encode() + b"\r\n" if isinstance(status, str) else status + b"\r\n":
            self._writer.write(bytes([octet]))
            await self._writer.drain()
            await asyncio.sleep(DRIP_S)

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        """Who is who: the words before the @ say what becomes of them."""
        name = address.partition("@")[0]
        if self._kind == "mixed" and name == "unknown":
            return "550 5.1.1 no such mailbox"
        if self._kind == "mixed" and name == "refused":
            return "554 5.7.1 not from you"
        if name == "full" and self._town.is_first(self._kind, envelope.mail_from):
            return "452 4.2.2 mailbox full"
        if self._kind == "greylist" and self._town.is_first(self._kind, envelope.mail_from):
            return "451 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def smtp_DATA(self, argument):
        if self._kind == "closing" and self._town.is_first(self._kind, self.envelope.mail_from):
            await self.push("354 go on")
            await self._reader.readuntil(b"\r\n")
            await self.push("421 4.3.2 shutting down")
            self.transport.close()
            await self._end()
        await super().smtp_DATA(argument)

    async def handle_DATA(self, _server, _session, envelope):
        self._town.take(self._kind, envelope)
        if self._kind == "hang" and self._town.is_first(self._kind, envelope.mail_from):
            await asyncio.sleep(HANG_S)
            await self._reset()
        if self._kind == "reset":
            await self.push("250 2.0.0 taken")
            await self._reset()
        return "250 2.0.0 taken"

    async def _reset(self):
        """Ends the connection with a RST."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        self.transport.abort()
        await self._end()

    @staticmethod
    async def _end():
        """Does nothing more: the loss of the connection ends the task that waits here."""
        await asyncio.Event().wait()
