"""The verdict: set arithmetic over what was recorded outside the system under test.

Nothing here asks the system anything; `Evidence` is gathered by others. Each check has a name, and each violation names
the check, the cycle in which the mail was accepted, and what was seen.
"""

from collections import Counter, defaultdict, namedtuple

import script

Violation = namedtuple("Violation", "check cycle text")

CHECKS = {
    "answers": "every request was answered as the API promises",
    "one id": "one idempotency key never has two ids",
    "found": "every accepted id is found and finished",
    "outcome": "every recipient ends as the receiver decided",
    "arrived": "mail that is delivered has arrived",
    "doubt": "mail that arrived twice has an attempt in doubt for each further copy",
    "bytes": "every copy has the same bytes",
    "events": "every fact reached the webhook, as one event",
    "timeline": "the timeline and the webhook tell of the same events",
    "conservation": "accepted = delivered + bounced + failed + in flight, and nothing is there that nobody sent",
    "usage": "/v1/usage counts every accepted recipient, and that something became of it",
    "process": "the processes end only when they are killed",
}

STATUSES_AT_REST = ("delivered", "bounced", "failed")


class Evidence:
    """What is known about one run."""

    def __init__(self):
        # Recorder: {cycle, key, id, to, replay} for each 2xx.
        self.accepted = []
        # Receiver: {message_id, subject, to, digest} for each message that it took.
        self.copies = []
        # Webhook receiver: {id, type, email, to, is_id_in_header} for each request.
        self.events = []
        # The API: id -> {status, recipients: {address: status}, events: [id]}, or None if the id is unknown.
        self.shown = {}
        # The API's list: id -> status, of everything that there is.
        self.listed = {}
        # The API: id -> states of the attempts, of each mail that arrived more than once for a domain.
        self.attempts = {}
        # The API: what it counted of each day.
        self.usage = []
        # (cycle, key, what) for each answer that is neither 2xx nor 5xx.
        self.unexpected = []
        # What the processes did that they should not have done.
        self.incidents = []


def sent_to(accepted):
    """Id -> (cycle, recipients)."""
    sent = {}
    for line in accepted:
        sent.setdefault(line["id"], (line["cycle"], line["to"]))
    return sent


def copies_beyond_one(copies):
    """Id -> copies that arrived beyond the first for each domain, where there are any."""
    counts = Counter((email_id(copy), script.domain(copy["to"][0])) for copy in copies)
    beyond = Counter()
    for (email, _), count in counts.items():
        beyond[email] += count - 1
    return +beyond


def email_id(copy):
    """The Message-ID is made of the id."""
    return copy["message_id"].partition("@")[0]


def judge(evidence):
    """All violations, oldest mail first."""
    found = []
    sent = sent_to(evidence.accepted)
    for check in (_answers, _one_id, _found, _outcome, _arrived, _doubt, _bytes, _events, _timeline, _conservation, _usage):
        found += check(evidence, sent)
    found += [Violation("process", 0, text) for text in evidence.incidents]
    return sorted(found, key=lambda violation: violation.cycle)


def _answers(evidence, _):
    for cycle, key, what in evidence.unexpected:
        yield Violation("answers", cycle, f"the request with key {key} was answered {what}")


def _one_id(evidence, sent):
    """From the answers and, because an answer may never have come, from what the receiver took."""
    ids, cycles = defaultdict(list), {}
    for line in evidence.accepted:
        ids[line["key"]].append(line["id"])
        cycles.setdefault(line["key"], line["cycle"])
    for copy in evidence.copies:
        ids[copy["subject"]].append(email_id(copy))
    for key, of_key in ids.items():
        distinct = list(dict.fromkeys(of_key))
        if len(distinct) > 1:
            yield Violation("one id", cycles.get(key, 0), f"key {key} has the ids {' and '.join(distinct)}")


def _found(evidence, sent):
    for email, (cycle, _) in sent.items():
        shown = evidence.shown.get(email)
        if shown is None:
            yield Violation("found", cycle, f"{email} was accepted and is not known any more: lost")
        elif shown["status"] not in STATUSES_AT_REST:
            yield Violation("found", cycle, f"{email} is still {shown['status']} after the drain")


def _outcome(evidence, sent):
    for email, (cycle, to) in sent.items():
        shown = evidence.shown.get(email)
        if shown is None or shown["status"] not in STATUSES_AT_REST:
            continue
        wanted = script.outcomes(to)
        if shown["recipients"] != wanted:
            yield Violation("outcome", cycle, f"{email} ended as {shown['recipients']}, the receiver's script says {wanted}")


def _arrived(evidence, sent):
    taken = {(email_id(copy), address) for copy in evidence.copies for address in copy["to"]}
    for email, (cycle, to) in sent.items():
        for address, outcome in script.outcomes(to).items():
            if outcome == "delivered" and (email, address) not in taken:
                status = (evidence.shown.get(email) or {}).get("status", "unknown")
                yield Violation("arrived", cycle, f"{email} is {status} and never arrived for {address}: lost")


def _doubt(evidence, sent):
    for email, count in copies_beyond_one(evidence.copies).items():
        in_doubt = evidence.attempts.get(email, []).count("in_doubt")
        if count > in_doubt:
            cycle = sent.get(email, (0,))[0]
            yield Violation("doubt", cycle, f"{email} arrived {count} times too often with {in_doubt} attempts in doubt")


def _bytes(evidence, sent):
    digests = defaultdict(set)
    for copy in evidence.copies:
        digests[email_id(copy)].add(copy["digest"])
    for email, of_email in digests.items():
        if len(of_email) > 1:
            yield Violation("bytes", sent.get(email, (0,))[0], f"{email} arrived with {len(of_email)} different contents")


def _events(evidence, sent):
    told = defaultdict(set)
    for event in evidence.events:
        address = event["to"] if event["type"] != "email.sent" else None
        told[event["email"], event["type"], address].add(event["id"])
        if not event["is_id_in_header"]:
            yield Violation("events", 0, f"{event['id']} came with another webhook-id")
    for email, (cycle, to) in sent.items():
        facts = [("email.sent", None)] + [(f"email.{end}", address) for address, end in script.outcomes(to).items()]
        for kind, address in facts:
            ids = told.get((email, kind, address), ())
            if len(ids) != 1:
                about = f" for {address}" if address else ""
                wrong = "never reached the webhook" if not ids else f"reached it as {len(ids)} events"
                yield Violation("events", cycle, f"{kind} of {email}{about} {wrong}")


def _timeline(evidence, sent):
    told = defaultdict(set)
    for event in evidence.events:
        told[event["email"]].add(event["id"])
    for email, (cycle, _) in sent.items():
        shown = evidence.shown.get(email)
        if shown is not None and set(shown["events"]) != told[email]:
            only = f"{len(set(shown['events']) - told[email])} only there, {len(told[email] - set(shown['events']))} only here"
            yield Violation("timeline", cycle, f"{email}: timeline and webhook differ ({only})")


def _conservation(evidence, sent):
    counts = Counter(evidence.listed.values())
    unknown = set(counts) - {*STATUSES_AT_REST, "queued", "deferred", "sent"}
    if unknown:
        yield Violation("conservation", 0, f"statuses that do not exist: {sorted(unknown)}")
    for email in evidence.listed.keys() - sent.keys():
        yield Violation("conservation", 0, f"{email} is {evidence.listed[email]} and no request was ever answered with it")
    for email in sent.keys() - evidence.listed.keys():
        yield Violation("conservation", sent[email][0], f"{email} was accepted and is in no list")
    for email, (cycle, _) in sent.items():
        shown = evidence.shown.get(email)
        if shown is not None and evidence.listed.get(email, shown["status"]) != shown["status"]:
            yield Violation("conservation", cycle, f"{email} is {evidence.listed[email]} in the list, {shown['status']} by itself")


def _usage(evidence, sent):
    for day in evidence.usage:
        if not day["balanced"]:
            yield Violation("usage", 0, f"the day does not balance: {day}")
    recipients = sum(len(to) for _, to in sent.values())
    expected = {"emails": len(sent), "accepted": recipients, "scheduled": 0, "inFlight": 0, "inDoubt": 0}
    counted = {name: sum(day[name] for day in evidence.usage) for name in expected}
    if counted != expected:
        yield Violation("usage", 0, f"counted {counted}, expected {expected}")
