"""Relays that are SMTP servers: a real one that wants TLS and a login, Postfix with Dovecot's passwords."""

import time

from house import statuses
from names import POSTFIX
from receivers import PASSWORD

FINISHED_WITHIN_S = 30
# Processes remember a domain's route for so long.
ROUTE_KEPT_S = 61
SERVICES = {
    "STARTTLS and AUTH PLAIN": ("plain_only", "starttls"),
    "STARTTLS and AUTH LOGIN": ("login_only", "starttls"),
    "TLS from the first octet": ("implicit", "implicit"),
}


def judge(verdicts, town):
    verdicts.part("relays that are SMTP servers")
    for house in town.houses:
        routed(house, "relay_then_direct")
    time.sleep(ROUTE_KEPT_S)
    for house in town.houses:
        for name, (service, tls) in SERVICES.items():
            relay = added(house, town.postfix.submission[service], tls, PASSWORD)
            tried = house.call("POST", f"/v1/relays/{relay}/test")[1]
            verdicts.holds(f"{house.engine}: {name}: the right password is taken", tried.get("ok") is True, tried["message"])
            has_arrived, facts = sent(house)
            went = has_arrived and facts["host"] == "localhost" and facts["tls"]["verified"]
            verdicts.holds(f"{house.engine}: {name}: and so is a mail", went, facts["host"])
            house.call("DELETE", f"/v1/relays/{relay}")
        relay = added(house, town.postfix.submission["plain_only"], "starttls", "wrong")
        tried = house.call("POST", f"/v1/relays/{relay}/test")[1]
        verdicts.holds(f"{house.engine}: a wrong password is refused", tried.get("ok") is False, tried["message"])
        has_arrived, facts = sent(house)
        verdicts.holds(f"{house.engine}: and the mail goes directly", has_arrived and facts["host"] == f"mx.{POSTFIX}", facts["host"])
        status = house.call("GET", f"/v1/relays/{relay}")[1]["status"]
        verdicts.holds(f"{house.engine}: and the relay is failing", status == "failing", status)
        house.call("DELETE", f"/v1/relays/{relay}")
        routed(house, "direct")


def routed(house, route):
    domains = house.call("GET", "/v1/domains")[1]["data"]
    domain = next(domain["id"] for domain in domains if domain["name"] == house.domain)
    house.call("PATCH", f"/v1/domains/{domain}", {"route": route})


def added(house, port, tls, password):
    credentials = {"host": "localhost", "port": port, "tls": tls, "username": "farm", "password": password}
    return house.call("POST", "/v1/relays", {"name": "submission", "provider": "smtp", "credentials": credentials})[1]["id"]


def sent(house):
    """Whether a mail arrives, and what is known of its last attempt."""
    to = f"reader@{POSTFIX}"
    email, _ = house.send([to], text="By which way?\n")
    shown = house.finished([email], FINISHED_WITHIN_S)[email]
    return statuses(shown) == {to: "delivered"}, house.attempts(email)[-1]["facts"]
