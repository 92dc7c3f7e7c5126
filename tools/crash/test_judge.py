"""The judge sees each kind of damage, and nothing in a run without damage."""

import copy
import unittest

import judge

TO = ["take-1-0@one.example", "refuse-rcpt-1-1@one.example"]


def sound():
    """One mail to two recipients, of which one is refused."""
    evidence = judge.Evidence()
    evidence.accepted = [{"cycle": 3, "key": "k1", "id": "email_1", "to": TO, "replay": False}]
    evidence.copies = [{"message_id": "email_1@crash.example", "subject": "k1", "to": TO[:1], "digest": "d1"}]
    evidence.events = [
        {"id": "e1", "type": "email.sent", "email": "email_1", "to": TO, "is_id_in_header": True},
        {"id": "e2", "type": "email.delivered", "email": "email_1", "to": TO[0], "is_id_in_header": True},
        {"id": "e3", "type": "email.bounced", "email": "email_1", "to": TO[1], "is_id_in_header": True},
    ]
    recipients = {TO[0]: "delivered", TO[1]: "bounced"}
    evidence.shown = {"email_1": {"status": "delivered", "recipients": recipients, "events": ["e1", "e2", "e3"]}}
    evidence.listed = {"email_1": "delivered"}
    evidence.usage = [{"emails": 1, "accepted": 2, "scheduled": 0, "inFlight": 0, "inDoubt": 0, "balanced": True}]
    return evidence


class Judge(unittest.TestCase):
    def check(self, evidence, *expected):
        self.assertEqual({violation.check for violation in judge.judge(evidence)}, set(expected))

    def test_a_run_without_damage_has_no_violation(self):
        self.check(sound())

    def test_an_accepted_mail_that_the_system_forgot_is_lost(self):
        evidence = sound()
        evidence.shown, evidence.listed, evidence.copies, evidence.events = {"email_1": None}, {}, [], []
        self.check(evidence, "found", "arrived", "events", "conservation")

    def test_a_mail_that_is_called_delivered_and_never_arrived_is_lost(self):
        evidence = sound()
        evidence.copies = []
        self.check(evidence, "arrived")

    def test_a_mail_that_is_still_under_way_is_not_finished(self):
        evidence = sound()
        evidence.shown["email_1"]["status"] = evidence.listed["email_1"] = "queued"
        self.check(evidence, "found")

    def test_a_second_id_is_seen_in_the_answers(self):
        evidence = sound()
        evidence.accepted.append({**evidence.accepted[0], "id": "email_2"})
        self.assertIn("one id", {violation.check for violation in judge.judge(evidence)})

    def test_a_second_id_that_was_never_answered_is_seen_at_the_receiver(self):
        evidence = sound()
        evidence.copies.append({**evidence.copies[0], "message_id": "email_2@crash.example"})
        self.check(evidence, "one id")

    def test_a_duplicate_needs_an_attempt_in_doubt(self):
        evidence = sound()
        evidence.copies.append(copy.copy(evidence.copies[0]))
        evidence.attempts = {"email_1": ["finished"]}
        self.check(evidence, "doubt")
        evidence.attempts = {"email_1": ["in_doubt", "finished"]}
        self.check(evidence)
        evidence.copies.append(copy.copy(evidence.copies[0]))
        self.check(evidence, "doubt")

    def test_a_second_destination_is_no_duplicate(self):
        evidence = sound()
        other = "take-1-1@two.example"
        evidence.accepted[0]["to"] = [TO[0], other]
        evidence.copies.append({**evidence.copies[0], "to": [other]})
        evidence.shown["email_1"]["recipients"] = {TO[0]: "delivered", other: "delivered"}
        evidence.events[2] = {**evidence.events[1], "id": "e3", "to": other}
        self.check(evidence)

    def test_copies_with_different_contents_are_seen(self):
        evidence = sound()
        evidence.copies.append({**evidence.copies[0], "digest": "d2"})
        evidence.attempts = {"email_1": ["in_doubt", "finished"]}
        self.check(evidence, "bytes")

    def test_an_event_that_never_came_is_seen(self):
        evidence = sound()
        del evidence.events[0]
        self.check(evidence, "events", "timeline")

    def test_an_event_that_was_never_written_is_seen(self):
        evidence = sound()
        del evidence.events[0]
        evidence.shown["email_1"]["events"].remove("e1")
        self.check(evidence, "events")

    def test_a_webhook_that_comes_twice_is_fine_and_a_second_event_is_not(self):
        evidence = sound()
        evidence.events.append(copy.copy(evidence.events[1]))
        self.check(evidence)
        evidence.events[-1]["id"] = "e4"
        evidence.shown["email_1"]["events"].append("e4")
        self.check(evidence, "events")

    def test_a_refused_recipient_that_is_called_delivered_is_seen(self):
        evidence = sound()
        evidence.shown["email_1"]["recipients"][TO[1]] = "delivered"
        self.check(evidence, "outcome")

    def test_a_mail_that_nobody_sent_is_seen(self):
        evidence = sound()
        evidence.listed["email_9"] = "delivered"
        self.check(evidence, "conservation")

    def test_a_day_that_does_not_balance_or_counts_another_number_is_seen(self):
        for damage in ({"balanced": False}, {"accepted": 1}, {"emails": 2}, {"inFlight": 1}):
            evidence = sound()
            evidence.usage[0] |= damage
            self.check(evidence, "usage")

    def test_a_refusal_that_the_api_does_not_promise_and_a_panic_are_seen(self):
        evidence = sound()
        evidence.unexpected = [(2, "k7", "422 b''")]
        evidence.incidents = ["sealwright: a thread panicked"]
        self.check(evidence, "answers", "process")


if __name__ == "__main__":
    unittest.main()
