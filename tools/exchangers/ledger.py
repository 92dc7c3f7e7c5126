"""Everything that was accepted, beside everything that arrived: nothing is lost, and nothing is there twice without a doubt on record."""

from collections import Counter

from house import FINISHED, statuses
from names import POSTFIX, SECOND_HOST

FINISHED_WITHIN_S = 30


def judge(verdicts, town):
    verdicts.part("all mail of this run")
    arrived = Counter((copy.email, copy.domain) for copy in town.copies())
    for house in town.houses:
        house.finished(house.sent, FINISHED_WITHIN_S)
        listed = house.listed()
        notices = len(set(listed) - set(house.sent))
        are_there = set(house.sent) <= set(listed)
        verdicts.holds(f"{house.engine}: all that was accepted is there", are_there, f"{len(house.sent)} mails and {notices} notices")
        ends = Counter(mail["status"] for mail in listed.values())
        told = ", ".join(f"{count} {status}" for status, count in ends.items())
        verdicts.holds(f"{house.engine}: and has ended", set(ends) <= FINISHED, told)
        lost, repeated, doubts = [], [], 0
        for email in listed:
            for domain, recipients in delivered(house.shown(email)).items():
                copies = arrived[email, POSTFIX if domain == SECOND_HOST else domain]
                if copies == 0:
                    lost.append(email)
                if copies > 1:
                    in_doubt = sum(attempt["state"] == "in_doubt" for attempt in house.attempts(email))
                    doubts += in_doubt
                    # Recipients of one domain may be taken at different times, each with a copy.
                    if copies > recipients + in_doubt:
                        repeated.append(email)
        verdicts.holds(f"{house.engine}: what is delivered has arrived", not lost, "; ".join(lost))
        claim = f"{house.engine}: what arrived twice has an attempt in doubt"
        verdicts.holds(claim, not repeated, "; ".join(repeated) or f"{doubts} in doubt")


def delivered(shown):
    """Domains where it was delivered, and to how many recipients there."""
    delivered_to = [to for to, status in statuses(shown).items() if status == "delivered"]
    return Counter(to.partition("@")[2].rstrip(">") for to in delivered_to)
