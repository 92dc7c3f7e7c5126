"""Real mail systems that take mail, find that nobody is there, and send a report to the server's own listener."""

from house import event_types, statuses
from names import EXIM, POSTFIX

RETURNED_WITHIN_S = 20


def judge(verdicts, town):
    verdicts.part("mail that comes back")
    for house in town.houses:
        for domain in (POSTFIX, EXIM):
            to = f"nobody-lives-here@{domain}"
            email, _ = house.send([to], text="Is anybody there?\n")
            shown = house.waits_for([email], lambda mail: mail["status"] == "bounced", RETURNED_WITHIN_S)[email]
            happened = [kind for kind in event_types(shown, to) if kind in ("email.delivered", "email.bounced")]
            holds = statuses(shown) == {to: "bounced"} and sorted(happened) == ["email.bounced", "email.delivered"]
            verdicts.holds(f"{house.engine}: {domain} takes it, and says later that nobody is there", holds, ", ".join(happened))
            tls = house.attempts(email)[0]["facts"].get("tls", {}).get("version")
            verdicts.holds(f"{house.engine}: {domain} was spoken to under TLS", tls == "TLSv1.3", tls)
