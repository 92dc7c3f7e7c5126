"""Where the mail and the webhooks of the system under test arrive: a process of its own that survives every kill.

`sinks.py FOLDER CERT KEY` serves SMTP and HTTPS on free ports of 127.0.0.1, prints the ports as one JSON line, and ends
when its standard input does. It writes `copies.jsonl` (a line for each message, before its 250) and `events.jsonl` (a
line for each webhook, before its 200).

The receiver refuses what the recipient's address tells it to refuse (see `script.py`). It never defers and never hangs
up, because the system answers both with a wait of minutes.
"""

import asyncio
import email.parser
import email.policy
import hashlib
import json
import random
import re
import ssl
import sys
from pathlib import Path

import script
from journal import Journal

LINE_BYTES_MAX = 1 << 20
# A message waits this long for its 250, at most. Longer waits keep more mail in the gap between dot and reply when the
# sender is killed, which is where duplicates come from.
REPLY_DELAY_S_MAX = 0.02

EXTENSIONS = ("sink.example", "PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10485760", "ENHANCEDSTATUSCODES")


class SmtpSession:
    """One connection of a sender (RFC 5321); commands may be pipelined (RFC 2920)."""

    def __init__(self, copies, reader, writer):
        self._copies, self._reader, self._writer = copies, reader, writer
        self._recipients = None

    async def run(self):
        self._reply("220 sink.example ESMTP")
        while True:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):
                return
            verb, _, argument = line.decode("utf-8", "replace").strip().partition(" ")
            verb = verb.upper()
            if verb == "QUIT":
                self._reply("221 2.0.0 bye")
                return await self._writer.drain()
            if verb == "DATA":
                await self._data()
            else:
                self._command(verb, argument)
            await self._writer.drain()

    def _command(self, verb, argument):
        if verb == "EHLO":
            for word in EXTENSIONS[:-1]:
                self._reply(f"250-{word}")
            self._reply(f"250 {EXTENSIONS[-1]}")
        elif verb in ("HELO", "NOOP"):
            self._reply("250 2.0.0 ok")
        elif verb == "RSET":
            self._recipients = None
            self._reply("250 2.0.0 ok")
        elif verb == "MAIL":
            self._recipients = []
            self._reply("250 2.1.0 ok")
        elif verb == "RCPT":
            self._rcpt(argument)
        else:
            self._reply("500 5.5.1 unknown command")

    def _rcpt(self, argument):
        path = re.match(r"TO:<([^>]*)>", argument, re.IGNORECASE)
        if self._recipients is None or path is None:
            self._reply("503 5.5.1 MAIL first")
        elif script.refuses_recipient(path[1]):
            self._reply("550 5.1.1 no such mailbox")
        else:
            self._recipients.append(path[1])
            self._reply("250 2.1.5 ok")

    async def _data(self):
        recipients, self._recipients = self._recipients, None
        if not recipients:
            return self._reply("554 5.5.1 no valid recipients")
        self._reply("354 go on")
        await self._writer.drain()
        content = bytearray()
        while True:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):
                return  # The sender died before its dot: this message was never handed over.
            if line == b".\r\n":
                break
            content += line[1:] if line.startswith(b".") else line
        if script.refuses_message(recipients):
            return self._reply("554 5.6.0 content refused")
        await self._copies.append(describe(bytes(content), recipients))
        await asyncio.sleep(random.uniform(0, REPLY_DELAY_S_MAX))
        self._reply("250 2.0.0 taken")

    def _reply(self, text):
        self._writer.write(text.encode() + b"\r\n")


def describe(content, recipients):
    """What identifies a copy."""
    fields = email.parser.BytesHeaderParser(policy=email.policy.default).parsebytes(content.partition(b"\r\n\r\n")[0])
    return {
        "message_id": str(fields["Message-ID"] or "").strip("<> "),
        "subject": str(fields["Subject"] or ""),
        "to": recipients,
        "digest": hashlib.sha256(content).hexdigest(),
    }


async def serve_webhooks(events, reader, writer):
    """HTTP/1.1 with kept connections; each request is one event."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(re.findall(rb"(?m)^([^:\r\n]+):[ \t]*([^\r\n]*)\r$", head.lower()))
        body = await reader.readexactly(int(fields[b"content-length"]))
        event = json.loads(body)
        line = {"id": event["id"], "type": event["type"], "email": event["data"]["emailId"], "to": event["data"]["to"]}
        line["is_id_in_header"] = fields.get(b"webhook-id") == event["id"].lower().encode()
        await events.append(line)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()


async def main(folder, cert, key):
    copies, events = Journal(folder / "copies.jsonl"), Journal(folder / "events.jsonl")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)

    def serving(run):
        async def serve(reader, writer):
            try:
                await run(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass  # The other side was killed, which is what this is all about.
            finally:
                writer.close()

        return serve

    smtp = await asyncio.start_server(
        serving(lambda reader, writer: SmtpSession(copies, reader, writer).run()), "127.0.0.1", 0, limit=LINE_BYTES_MAX
    )
    hooks = await asyncio.start_server(
        serving(lambda reader, writer: serve_webhooks(events, reader, writer)), "127.0.0.1", 0, ssl=tls
    )
    ports = {name: server.sockets[0].getsockname()[1] for name, server in (("smtp", smtp), ("hooks", hooks))}
    print(json.dumps(ports), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
