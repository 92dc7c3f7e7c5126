"""Mail for the system under test, and what it answered.

Each mail has an idempotency key of its own. A request whose outcome is unknown (the connection broke, the answer was a
5xx) is sent again with the same key until it is known; a part of the known ones is sent again too. Every 2xx is
recorded with its key and id, and counts once the record is on disk.
"""

import asyncio
import json
import random
import ssl

import script
from system import DOMAIN, Failed

CONCURRENCY = 16
REQUEST_SECONDS_MAX = 20
# Of 100 requests, how many repeat one that was answered before.
PERCENT_REPEATED = 4
# Requests are repeated from this many of the latest answers, where a lost commit would show.
REPEATED_FROM = 300
TEXT_CHARS_MAX = 4000
REST_AFTER_REFUSAL_S = 0.05
# A connection gives up after as many refusals in a row: a minute's worth.
REFUSALS_MAX = 1200


class Unknown(Exception):
    """It can't be told whether the request was carried out."""


class Client:
    """One kept HTTPS connection."""

    def __init__(self, port, tls, key):
        self._port, self._tls, self._key = port, tls, key
        self._streams = None

    async def request(self, method, path, body=None, fields=()):
        """Status, fields and body of the answer; raises `Unknown` when there is none."""
        try:
            return await asyncio.wait_for(self._request(method, path, body, fields), REQUEST_SECONDS_MAX)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            self.close()
            raise Unknown(str(error)) from error

    async def _request(self, method, path, body, fields):
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._tls, server_hostname="localhost", limit=1 << 22
            )
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self._key}",
                 f"Content-Length: {len(content)}", *fields]
        if body is not None:
            lines.append("Content-Type: application/json")
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answered = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        answer = await reader.readexactly(int(answered.get("content-length", 0)))
        if answered.get("connection", "").lower() == "close":
            self.close()
        return int(head[0].split()[1]), answered, answer

    def close(self):
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Mail:
    """One mail that is wanted, from the first request to its answer."""

    def __init__(self, seed, run, number):
        chance = random.Random(f"{seed}/mail/{number}")
        self.key = f"{run}-{number}"
        self.to = script.recipients(chance, number)
        text = f"Mail {self.key}.\n" + "x" * chance.randrange(TEXT_CHARS_MAX)
        self.body = {"from": f"Crash <crash@{DOMAIN}>", "to": self.to, "subject": self.key, "text": text}


class Load:
    """Sends from `CONCURRENCY` connections between `start` and `stop`."""

    def __init__(self, port, authority, key, recorder, seed):
        self._port, self._key, self._recorder, self._seed = port, key, recorder, seed
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._chance = random.Random(f"{seed}/load")
        self._run = f"run{seed}"
        self._number = 0
        self._unknown = []
        self._answered = []
        self._tasks = []
        self.accepted = []
        self.unexpected = []
        self.repeated = 0
        self.replayed_unknown = 0
        self.cycle = 0
        self._is_stopping = False

    def client(self):
        return Client(self._port, self._tls, self._key)

    def start(self, cycle):
        """Begins to send."""
        self.cycle = cycle
        self._is_stopping = False
        self._tasks = [asyncio.ensure_future(self._send_all(self._next_mail)) for _ in range(CONCURRENCY)]

    async def stop(self):
        """Sends nothing new and waits for the requests under way; those to a killed process fail at once."""
        self.end()
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)

    def end(self):
        """Sends nothing new."""
        self._is_stopping = True

    async def resolve(self):
        """Sends again what is unknown, and nothing else, until nothing is."""
        self._is_stopping = False
        await asyncio.gather(*(self._send_all(self._unknown_mail) for _ in range(CONCURRENCY)))
        if self._unknown:
            raise Failed(f"{len(self._unknown)} requests got no answer although nothing was killed")

    def _unknown_mail(self):
        return (self._unknown.pop(), "unknown") if self._unknown else None

    def _next_mail(self):
        if self._unknown:
            return self._unknown_mail()
        if self._answered and self._chance.random() * 100 < PERCENT_REPEATED:
            return self._chance.choice(self._answered[-REPEATED_FROM:]), "answered"
        self._number += 1
        return Mail(self._seed, self._run, self._number), "new"

    async def _send_all(self, next_mail):
        client = self.client()
        refusals = 0
        try:
            while not self._is_stopping and refusals < REFUSALS_MAX:
                drawn = next_mail()
                if drawn is None:
                    return
                mail, known = drawn
                if await self._send(client, mail, known):
                    refusals = 0
                else:
                    if known != "answered":
                        self._unknown.append(mail)
                    refusals += 1
                    await asyncio.sleep(REST_AFTER_REFUSAL_S)
        finally:
            client.close()

    async def _send(self, client, mail, known):
        """Whether the outcome is known now."""
        try:
            status, fields, answer = await client.request(
                "POST", "/v1/emails", mail.body, [f"Idempotency-Key: {mail.key}"]
            )
        except Unknown:
            return False
        if status >= 500:
            return False
        if status != 200:
            self.unexpected.append((self.cycle, mail.key, f"{status} {answer[:200]!r}"))
            return True
        is_replay = fields.get("idempotency-replayed") == "true"
        line = {"cycle": self.cycle, "key": mail.key, "id": json.loads(answer)["id"], "to": mail.to, "replay": is_replay}
        await self._recorder.append(line)
        if known == "answered":
            self.repeated += 1
        else:
            self.replayed_unknown += is_replay
            self._answered.append(mail)
            self.accepted.append(line)
        return True
