"""What becomes of mail to receivers that misbehave: its attempts, its recipients' ends, and how often it arrived."""

import time
from collections import Counter, namedtuple

from hostile import KINDS, PLAIN, domain_of
from house import event_types, statuses
from names import NO_DOMAIN, NULL_MX, SECOND_HOST
from system import Failed

# The first wait of a mail is two minutes and a tenth of that, at most.
FINISHED_WITHIN_S = 170
# Mail to others does not wait for a receiver that hangs.
SOON_S = 15

Expected = namedtuple("Expected", "claim ends attempts copies")
ONE = {"reader": "delivered"}
EACH = {"reader": "delivered", "unknown": "bounced", "refused": "bounced", "full": "delivered"}
EXPECTED = {
    "hang": Expected("hangs after the dot, then resets: in doubt, and sent again", ONE, ("in_doubt", "finished"), 2),
    "closing": Expected("421 amid DATA: sent again, arrives once", ONE, ("finished", "finished"), 1),
    "mixed": Expected("an answer for each recipient, an end for each recipient", EACH, ("finished", "finished"), 2),
    "drip": Expected("replies octet by octet: delivered at once", ONE, ("finished",), 1),
    "reset": Expected("RST after 250: delivered, and never again", ONE, ("finished",), 1),
    "late": Expected("greets after 20 s: delivered at once", ONE, ("finished",), 1),
    "greylist": Expected("451 at first: sent again, arrives once", ONE, ("finished", "finished"), 1),
}
EVENT_OF = {"delivered": "email.delivered", "bounced": "email.bounced"}


def send(houses):
    """Begins; the mails by house and kind. They need minutes, in which other parts have their turn."""
    assert set(EXPECTED) == set(KINDS) - {"plain"}
    sent = {house: {} for house in houses}
    for house, mails in sent.items():
        for kind, expected in EXPECTED.items():
            mails[kind] = accepted(house, [f"{name}@{domain_of(kind)}" for name in expected.ends])
    return sent


def accepted(house, to):
    email, refusal = house.send(to, text="Good morning.\n")
    if refusal:
        raise Failed(f"a mail to {to} was refused: {refusal}")
    return email


def judge_others(verdicts, houses):
    """While receivers hang: mail to others, and domains whose end the DNS decides."""
    verdicts.part("meanwhile, mail to others")
    ends = {f"reader@{NULL_MX}": "bounced", f"reader@{NO_DOMAIN}": "bounced", f"reader@{SECOND_HOST}": "delivered"}
    for house in houses:
        begun = time.monotonic()
        email = accepted(house, [f"reader@{PLAIN}"])
        status = house.finished([email], SOON_S)[email]["status"]
        told = f"{status}, {time.monotonic() - begun:.1f} s"
        verdicts.holds(f"{house.engine}: waits for nobody that hangs", status == "delivered", told)
        email = accepted(house, list(ends))
        seen = statuses(house.finished([email], SOON_S)[email])
        claim = f"{house.engine}: null MX and no domain bounce, a dead first host does not matter"
        verdicts.holds(claim, seen == ends, said(seen))


def judge(verdicts, sent, hostile):
    verdicts.part("receivers that misbehave")
    for house, mails in sent.items():
        shown = house.finished(mails.values(), FINISHED_WITHIN_S)
        arrived = Counter((copy.email, copy.domain) for copy in hostile.copies())
        for kind, email in mails.items():
            expected, domain = EXPECTED[kind], domain_of(kind)
            ends = {f"{name}@{domain}": end for name, end in expected.ends.items()}
            seen, copies = statuses(shown[email]), arrived[email, domain]
            attempts = tuple(attempt["state"] for attempt in sorted(house.attempts(email), key=lambda one: one["number"]))
            events = {to: [kind for kind in event_types(shown[email], to) if kind in EVENT_OF.values()] for to in ends}
            is_so = (seen, attempts, copies) == (ends, expected.attempts, expected.copies)
            is_told = events == {to: [EVENT_OF[end]] for to, end in ends.items()}
            told = f"{said(seen)}; attempts {', '.join(attempts)}; {copies} arrived"
            verdicts.holds(f"{house.engine}: {expected.claim}", is_so and is_told, told)


def said(seen):
    return ", ".join(f"{to} {end}" for to, end in seen.items())
