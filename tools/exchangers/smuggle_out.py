"""Mail that holds what some server may take for the end of a message, and behind it a second message: it arrives as one.

Each ending stands in the text, in the HTML and in an attached text, and in the values of header fields. Each mail goes to all three real
receivers, and to one that shows the octets of the wire. Stored is what was sent, octet by octet, and it says what was to be said.
"""

import base64
import email.policy
import re
import socket
import time
from collections import namedtuple
from email.parser import BytesParser

import dkim

from endings import ENDINGS, EVERY_ENDING
from hostile import PLAIN
from names import ADDRESSES, DOVECOT, EXIM, POSTFIX

# A mail: where the ending stands in it, and what was sent.
Mail = namedtuple("Mail", "name fields")

DELIVERED_WITHIN_S = 60
STRAYS_ARRIVE_WITHIN_S = 1
SMUGGLER = "smuggler@evil.example"
RECEIVERS = (POSTFIX, EXIM, DOVECOT)
# Each receiver takes one of these recipients.
SECOND = (
    f"MAIL FROM:<{SMUGGLER}>\r\n" + "".join(f"RCPT TO:<reader@{domain}>\r\n" for domain in RECEIVERS) + "DATA\r\n"
    f"From: {SMUGGLER}\r\nSubject: smuggled\r\nMessage-ID: <smuggled@evil.example>\r\n\r\nA second message.\r\n.\r\n"
)

def control(verdicts, town):
    """A client that writes what it is given: a receiver that makes two messages of one is among us, and this test sees them."""
    for name, ending in ENDINGS.items():
        first = f"From: {SMUGGLER}\r\nSubject: {name}\r\nMessage-ID: <control@evil.example>\r\n\r\nfirst{ending}"
        raw_send(ADDRESSES[POSTFIX], town.port, (first + SECOND.replace("smuggled", name, 1)).encode(), f"reader@{POSTFIX}")
    town.settles(lambda: sum(copy.email == "control" for copy in town.real_copies()) == len(ENDINGS))
    time.sleep(STRAYS_ARRIVE_WITHIN_S)
    made_two = [subject_of(copy) for copy in smuggled(town) if copy.domain == POSTFIX]
    verdicts.holds("control: written as they are, some endings make two messages of one", made_two, "; ".join(sorted(made_two)))
    town.forgiven = len(smuggled(town))


def raw_send(address, port, content, to):
    """Speaks SMTP without a thought, up to the reply to the content."""
    with socket.create_connection((address, port), timeout=10) as connection:
        replies = connection.makefile("rb")
        replies.readline()
        for line in ("HELO control.example", f"MAIL FROM:<{SMUGGLER}>", f"RCPT TO:<{to}>", "DATA"):
            connection.sendall(f"{line}\r\n".encode())
            replies.readline()
        connection.sendall(content)
        replies.readline()


def smuggled(town):
    """Second messages."""
    return [copy for copy in town.real_copies() if copy.email == "smuggled"]


def subject_of(copy):
    return BytesParser().parsebytes(copy.content)["Subject"]


def judge(verdicts, town):
    verdicts.part(f"smuggling, outbound: {len(EVERY_ENDING)} endings to {', '.join(RECEIVERS)}")
    control(verdicts, town)
    for house in town.houses:
        sent, refused, taken = send(house)
        shown = house.finished(sent, DELIVERED_WITHIN_S)
        late = [sent[id_].name for id_, mail in shown.items() if mail["status"] != "delivered"]
        verdicts.holds(f"{house.engine}: no body is refused", not refused, "; ".join(refused))
        verdicts.holds(f"{house.engine}: header values with line ends or NUL are refused", not taken, "; ".join(taken))
        verdicts.holds(f"{house.engine}: every mail is delivered", not late, "; ".join(late) or f"{len(sent)} mails")
        town.settles(lambda: sum(copy.email in sent for copy in town.real_copies()) >= len(sent) * len(RECEIVERS))
        judge_arrived(verdicts, town, house, sent)


def send(house):
    """Every ending in every place: the mails that were taken, by id; bodies that were refused; places in headers that were not."""
    sent, refused, taken = {}, [], []
    for ending_name, ending in EVERY_ENDING.items():
        for place, fields in bodies(ending).items():
            id_, refusal = house.send([f"reader@{domain}" for domain in (*RECEIVERS, PLAIN)], **fields)
            mail = Mail(f"{ending_name} in {place}", fields)
            if id_:
                sent[id_] = mail
            else:
                refused.append(f"{mail.name}: {refusal}")
        for place, fields in headers(house, ending).items():
            if house.send(f"reader@{POSTFIX}", text="x", **fields)[0]:
                taken.append(f"{ending_name} in {place}")
    return sent, refused, taken


def bodies(ending):
    """A mail for each place where content of the caller's choice may stand."""
    words = f"first{ending}{SECOND}last"
    content = base64.b64encode(words.encode()).decode()
    attached = {"filename": "end.txt", "content": content, "contentType": "text/plain"}
    message = {"filename": "end.eml", "content": content, "contentType": "message/rfc822"}
    return {
        "text": {"text": words},
        "html": {"html": f"<pre>{words}</pre>"},
        "an attached text": {"text": "See the file.\n", "attachments": [attached]},
        "an attached message": {"text": "See the file.\n", "attachments": [message]},
    }


def headers(house, ending):
    """A mail for each place in the headers, of which none may take line ends."""
    value = f"first{ending}Bcc: {SMUGGLER}"
    return {
        "the subject": {"subject": value},
        "a field of the caller's": {"headers": {"X-Order": value}},
        "a display name": {"replyTo": {"email": f"reply@{house.domain}", "name": value}},
    }


def judge_arrived(verdicts, town, house, sent):
    """One copy for each receiver, with the octets that the last one read from the wire, and with the words that were sent."""
    wire = {copy.email: copy.content for copy in town.hostile.copies() if copy.email in sent and copy.domain == PLAIN}
    other = [mail.name for id_, mail in sent.items() if not says(wire[id_], mail.fields)]
    verdicts.holds(f"{house.engine}: what arrives says what was sent, line ends aside", not other, "; ".join(other))
    for domain in RECEIVERS:
        copies = {id_: [] for id_ in sent}
        for copy in town.real_copies():
            if copy.email in sent and copy.domain == domain:
                copies[copy.email].append(copy.content)
        wrong = [sent[id_].name for id_, contents in copies.items() if contents != [wire[id_]]]
        claim = f"{house.engine}: {domain} has each mail once, octet by octet as on the wire"
        verdicts.holds(claim, not wrong, "; ".join(wrong) or f"{len(copies)} mails")
    unsigned = [mail.name for id_, mail in sent.items() if not is_signed(wire[id_], town.dkim_keys)]
    verdicts.holds(f"{house.engine}: and dkimpy believes its signature", not unsigned, "; ".join(unsigned))
    time.sleep(STRAYS_ARRIVE_WITHIN_S)
    stray = len(smuggled(town)) - town.forgiven
    verdicts.holds(f"{house.engine}: no second message anywhere", stray == 0, f"{stray} seen")


def says(content, fields):
    """Whether the message has the text, HTML or file that it was made from."""
    message = BytesParser(policy=email.policy.default).parsebytes(content)
    if files := fields.get("attachments"):
        file, attached = base64.b64decode(files[0]["content"]), next(message.iter_attachments())
        # A message that is attached as it is stands there as it is (RFC 2046 §5.2.1).
        return file in content if attached.is_multipart() else attached.get_payload(decode=True) == file
    kind = "plain" if "text" in fields else "html"
    part = message.get_body((kind,))
    text = part.get_payload(decode=True).decode()
    return lines(text) == lines(fields.get("text") or fields["html"])


def lines(text):
    """Line ends of any kind are line ends; whether there is one at the very end does not matter."""
    return re.split("\r\n|\r|\n", text.rstrip("\r\n"))


def is_signed(content, keys):
    return dkim.verify(content, dnsfunc=lambda name, **_: keys.get(name.decode().rstrip(".")))
