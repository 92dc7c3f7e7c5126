"""What others may smuggle into the server's own listener for bounces: two reports where one is announced.

Each content is a delivery report about one mail, an ending, and behind it a transaction with a report about another mail. It is refused,
and neither mail becomes bounced. Written as two lawful transactions at the end, the same reports do make them so.
"""

import socket

from endings import DOUBLED, END, END_BEHIND_CR, ENDINGS
from hostile import PLAIN

DELIVERED_WITHIN_S = 30
REPLY_SECONDS_MAX = 10

REPORT = """From: MAILER-DAEMON@relay.example\r
To: {path}\r
Subject: Undelivered\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary=b\r
\r
--b\r
Content-Type: text/plain\r
\r
It could not be delivered.\r
--b\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; relay.example\r
\r
Final-Recipient: rfc822; {recipient}\r
Action: failed\r
Status: 5.2.0\r
Diagnostic-Code: smtp; 550 5.2.0 gone\r
\r
--b--"""


class Listener:
    """One SMTP dialogue with it."""

    def __init__(self, address, port):
        self._connection = socket.create_connection((address, port), timeout=REPLY_SECONDS_MAX)
        self._replies = self._connection.makefile("rb")
        self.reply()
        self.ask("EHLO relay.example")

    def ask(self, line):
        self._connection.sendall(f"{line}\r\n".encode())
        return self.reply()

    def reply(self):
        """The code of the next reply; nothing when the connection has ended."""
        while line := self._replies.readline():
            if line[3:4] != b"-":
                return line[:3].decode()
        return ""

    def transaction(self, path, content):
        """The reply to the content, and the replies to whatever was taken for commands behind it."""
        codes = [self.ask("MAIL FROM:<>"), self.ask(f"RCPT TO:<{path}>"), self.ask("DATA")]
        if codes != ["250", "250", "354"]:
            return "".join(codes), []
        self._connection.sendall(content.encode())
        code, further = self.reply(), []
        # Whatever was said ahead is answered before this.
        self._connection.sendall(b"QUIT\r\n")
        while reply := self.reply():
            further.append(reply)
        # The last one is that to QUIT, or the end.
        return code, further[:-1]

    def close(self):
        self._connection.close()


def judge(verdicts, town):
    verdicts.part(f"smuggling, inbound: {len(ENDINGS)} endings to the listener for bounces")
    for house in town.houses:
        outer, inner = (Mailed(town, house) for _ in range(2))

        def say(ending):
            return dialogue(town, house, outer, f"{outer.report()}{ending}{commands(inner)}{END}")

        is_own = outer.path != inner.path and house.domain in outer.path
        verdicts.holds(f"{house.engine}: the mails to be told of have return paths of their own", is_own)
        for name, ending in ENDINGS.items():
            code, further = say(ending)
            is_refused = code == "550" and not further and not outer.is_bounced() and not inner.is_bounced()
            verdicts.holds(f"{house.engine}: {name}: refused, and nothing of it done", is_refused, " ".join([code, *further]))
        code, further = say(DOUBLED)
        is_one = code == "250" and not further and not inner.is_bounced()
        verdicts.holds(f"{house.engine}: CRLF .. CRLF is a line of the first report", is_one, " ".join([code, *further]))
        for name, ending in {"CRLF . CRLF": END, "CR CRLF . CRLF": END_BEHIND_CR}.items():
            code, further = say(ending)
            claim = f"{house.engine}: {name}: what was said ahead of the reply is not done"
            verdicts.holds(claim, not inner.is_bounced(), " ".join([code, *further]))
        code, _ = dialogue(town, house, inner, f"{inner.report()}{END}")
        both = code == "250" and outer.is_bounced() and inner.is_bounced()
        verdicts.holds(f"{house.engine}: control: by themselves, both reports count", both, code)


class Mailed:
    """A mail that was delivered, and where reports about it go."""

    def __init__(self, town, house):
        self._house, self._to = house, f"reader@{PLAIN}"
        self._email, _ = house.send([self._to], text="To be told of.\n")
        house.finished([self._email], DELIVERED_WITHIN_S)
        self.path = next(copy.sender for copy in town.hostile.copies() if copy.email == self._email)

    def report(self):
        return REPORT.format(path=self.path, recipient=self._to)

    def is_bounced(self):
        return self._house.shown(self._email)["status"] == "bounced"


def commands(mailed):
    return f"MAIL FROM:<>\r\nRCPT TO:<{mailed.path}>\r\nDATA\r\n{mailed.report()}"


def dialogue(town, house, mailed, content):
    listener = Listener(house.address, town.port)
    try:
        return listener.transaction(mailed.path, content)
    finally:
        listener.close()
