"""Holds the shipped firewall to its promises: tools/with-dev-server.sh python3 tools/waf/check.py

nginx with deploy/waf stands before the `sealwright dev` of SEALWRIGHT_READY_FILE. Attacks must be blocked, good traffic
must pass, refusals must have the API's form, and no log may say what it must not. Each single request counts.
"""

import collections
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attacks
import letters
import upstream
from front import NAME, ROOT, Front, read_answer

MAILS = 1000
SENDERS = 4
PATIENCE_SECONDS = 60  # for the API's own rate limit

# Must turn up in no log. The first has a key's form, and is sent where no key belongs.
STRAY_KEY = "le_test_" + "Canary7" * 5 + "x"
BODY_CANARY, QUERY_CANARY, HEADER_CANARY = "canary-in-a-body", "canary-in-a-query", "canary-in-a-header"


class Tally:
    """What was counted, by class. A failure is printed when it happens."""

    def __init__(self):
        self.passed, self.failed = collections.Counter(), collections.Counter()
        self.started_at = time.monotonic()

    def check(self, kind, name, is_good, found=""):
        (self.passed if is_good else self.failed)[kind] += 1
        if not is_good:
            print(f"  FAILED {kind}: {name}: {found}")

    def report(self):
        for kind in {**self.passed, **self.failed}:
            print(f"  {kind}: {self.passed[kind]} of {self.passed[kind] + self.failed[kind]}")
        print(f"  {time.monotonic() - self.started_at:.0f} s")
        passed, failed = sum(self.passed.values()), sum(self.failed.values())
        print(f"waf: {passed} passed, {failed} failed", flush=True)
        return 0 if passed and not failed else 1


class Client:
    """One kept connection of a good client with a test key."""

    def __init__(self, front, key, address="127.0.0.1"):
        self.connection = http.client.HTTPSConnection(NAME, front.port, context=front.trust, timeout=60, source_address=(address, 0))
        self.key = key

    def ask(self, call):
        """Answer and body of a call, after the API's own rate limit has let it through."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            # Not `request()`, which adds a header that is not asked for.
            self.connection.putrequest(call.method, call.target, skip_accept_encoding=True)
            length = len(call.body or b"")
            framing = {"Content-Length": str(length)} if length or call.method == "POST" else {}
            for name, value in {**call.headers, **framing, "Authorization": f"Bearer {self.key}"}.items():
                self.connection.putheader(name, value)
            self.connection.endheaders(call.body)
            answer = self.connection.getresponse()
            body = answer.read()
            self.keep_pace(answer)
            is_limited = answer.status == 429 and is_sealwrights(answer)
            if not is_limited or time.monotonic() > until:
                return answer, body
            # An answer that came before the body was read ends the connection.
            self.connection.close()
            time.sleep(float(answer.headers.get("Retry-After", 1)))

    def keep_pace(self, answer):
        """Waits where the next requests of all senders could be too many for the key's rate limit."""
        if int(answer.headers.get("X-RateLimit-Remaining", SENDERS * 2)) < SENDERS * 2:
            time.sleep(max(0.1, int(answer.headers["X-RateLimit-Reset"]) - time.time()))


def is_sealwrights(answer):
    return re.fullmatch("req_[0-9a-z]{26}", answer.headers.get("X-Request-Id", "")) is not None


def check_attacks(front, tally):
    for attack in attacks.attacks():
        answer = front.exchange(attack.request)
        is_blocked = answer.status in (400, 403) and answer.error == "request_blocked" and answer.is_ours
        tally.check(f"blocked, {attack.kind}", attack.name, is_blocked, f"{answer.status} {answer.body[:120]}")


def check_management(front, key, tally):
    client = Client(front, key)
    for call in letters.management():
        answer, body = client.ask(call)
        # The API may refuse what this version does not have; the firewall may not.
        is_good = is_sealwrights(answer) and answer.status < 500 or call.target in ("/healthz", "/readyz") and answer.status == 200
        if call.target.startswith("/v1/webhooks") and call.method == "POST":
            is_good = is_good and answer.status == 201
        if is_good and answer.status == 201 and call.target == "/v1/webhooks":
            # No event of this test may leave for the endpoint's host.
            answer, body = client.ask(letters.Call("delete", "DELETE", "/v1/webhooks/" + json.loads(body)["id"]))
            is_good = answer.status == 200
        tally.check("passed, management", call.name, is_good, f"{answer.status} {body[:120]}")


def check_mails(front, key, tally):
    mails = [*letters.mails(MAILS, BODY_CANARY), letters.large_mail(BODY_CANARY)]

    def send(share):
        client = Client(front, key)
        return [(call, *client.ask(call)) for call in share]

    with ThreadPoolExecutor(SENDERS) as pool:
        sent = [entry for share in pool.map(send, [mails[first::SENDERS] for first in range(SENDERS)]) for entry in share]
    for call, answer, body in sent:
        is_accepted = answer.status == 200 and json.loads(body)["id"].startswith("email_")
        tally.check("accepted, " + call.name.partition(" ")[0], call.name, is_accepted, f"{answer.status} {body[:120]}")
    client = Client(front, key)
    count = json.loads(client.ask(letters.Call("count", "GET", "/v1/emails"))[1]).get("totalCount")
    tally.check("mails", "the list has them all", count == len(mails), count)
    # One of each kind is read again: what it holds comes out as it went in.
    for call, _, body in sent[: len(letters.MAKERS) * 3]:
        _, body = client.ask(letters.Call("read", "GET", f"/v1/emails/{json.loads(body).get('id')}"))
        read, wrote = json.loads(body), json.loads(call.body)
        is_same = all(plain_lines(read.get(part)) == plain_lines(wrote[part]) for part in ("text", "html") if part in wrote)
        tally.check("mails", f"{call.name} reads as written", is_same, read)


def plain_lines(text):
    """Without what a mail's line ends lose on their way."""
    return text and text.replace("\r\n", "\n").rstrip("\n")


def make_key(client, **fields):
    answer, body = client.ask(letters.small("POST", "/v1/api-keys", {"permissions": ["emails:read"], **fields}))
    return json.loads(body)["key"] if answer.status == 201 else body.decode()


def check_addresses(front, key, tally):
    """Sealwright sees the client's address, not nginx's: a key for one address is good from there alone."""
    bound = make_key(Client(front, key), ipRestrictions=["127.0.0.5"])
    for address, expected in (("127.0.0.5", 200), ("127.0.0.1", 403)):
        answer, body = Client(front, bound, address).ask(letters.Call("list", "GET", "/v1/emails"))
        tally.check("addresses", f"a key for 127.0.0.5, from {address}", answer.status == expected and is_sealwrights(answer), body)


def check_given_away(front, key, tally):
    """A key that was said without TLS is no longer good."""
    given_away = make_key(Client(front, key))
    usual = letters.Call("list", "GET", "/v1/emails")
    before = Client(front, given_away).ask(usual)[0].status
    front.exchange(attacks.get("/v1/emails", f"Authorization: Bearer {given_away}"), plain=True)
    # A key that was just found good is not looked up again for half a second.
    time.sleep(1)
    after = Client(front, given_away).ask(usual)[0].status
    tally.check("without TLS", "the key is revoked", (before, after) == (200, 401), (before, after))


def check_http2(front, ready, tally):
    command = ["node", ROOT / "tools/waf/http2.mjs", str(front.port), ready["caCert"], ready["testKey"]]
    ran = subprocess.run(command, capture_output=True, text=True)
    tally.check("HTTP/2", "a mail passes, an attack does not", ran.stdout.split() == ["200", "403"], ran.stdout + ran.stderr)


def check_without_tls(front, tally):
    for method in ("GET", "POST", "PUT", "TRACE"):
        with front.connect(plain=True) as connection:
            connection.sendall(f"{method} /v1/emails HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {STRAY_KEY}\r\n\r\n".encode())
            answer = read_answer(connection)
            is_refused = answer.status == 403 and answer.error == "https_required" and "location" not in answer.headers
            tally.check("without TLS", f"{method} is refused, not redirected", is_refused, answer)
            tally.check("without TLS", f"{method}: the connection is closed", connection.recv(1) == b"")
    with front.connect(plain=True, port=front.port) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        tally.check("without TLS", "plain HTTP on the TLS port", read_answer(connection).error == "https_required")


def check_tls(front, tally):
    def refuses(name, trust):
        try:
            front.connect(name=name, trust=trust).close()
            return False
        except ssl.SSLError:
            return True

    old = front.client_tls()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    unchecked = front.client_tls()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    tally.check("TLS", "1.2 is refused", refuses(NAME, old))
    tally.check("TLS", "a name that is not ours is shown no certificate", refuses("evil.example", unchecked))


def check_refusals(front, tally):
    """What the firewall refuses for another reason than an attack has the API's own codes."""
    key = f"Authorization: Bearer {STRAY_KEY}"
    cases = {
        "41 MiB": (413, "request_too_large", attacks.post("/v1/emails", b"", key).replace(b"Length: 0", b"Length: %d" % (41 << 20))),
        "256 KiB and one byte": (413, "request_too_large", attacks.post("/v1/webhooks", b"x" * (256 * 1024 + 1), key)),
        "half a JSON": (400, "invalid_json", attacks.post("/v1/webhooks", b'{"url":', key)),
        "JSON 65 deep": (400, "invalid_json", attacks.post("/v1/webhooks", b'{"a":' * 65 + b"1" + b"}" * 65, key)),
        "the firewall's own paths": (404, "not_found", attacks.get("/waf/inspect", key)),
    }
    for name, (status, code, request) in cases.items():
        answer = front.exchange(request)
        tally.check("refusals", name, (answer.status, answer.error, answer.is_ours) == (status, code, True), answer)
    # Long values full of what the patterns stumble over would hold a worker for seconds if they were inspected.
    for place, unit in (("User-Agent", "<"), ("Cookie", "$("), ("Referer", "{")):
        started_at = time.monotonic()
        answer = front.exchange(attacks.get("/v1/emails", f"{place}: {unit * (7000 // len(unit))}"))
        took = time.monotonic() - started_at
        tally.check("refusals", f"a long {place} is refused at once", answer.error == "request_blocked" and took < 1, f"{answer} {took}")


def check_logs(front, ready, tally):
    # Keys and texts in places where they do not belong, in requests that pass and in requests that are blocked.
    body = json.dumps({"description": f"<script>{BODY_CANARY} {STRAY_KEY}</script>", STRAY_KEY: "<script>"}).encode()
    key = f"Authorization: Bearer {ready['testKey']}"
    probes = [
        attacks.get(f"/v1/emails?tags={QUERY_CANARY}", key),
        attacks.get(f"/v1/emails?tags={QUERY_CANARY}%20union%20select%201,2&{STRAY_KEY}=%3Cscript%3E", key),
        attacks.post("/v1/webhooks", json.dumps({"description": f"<script>{BODY_CANARY}"}).encode(), key),
        attacks.get(f"/v1/emails?key={STRAY_KEY}'%20or%201=1--"),
        attacks.get(f"/v1/emails/{STRAY_KEY}"),
        attacks.get("/v1/emails", f"User-Agent: <script>{HEADER_CANARY} {STRAY_KEY}</script>", key),
        attacks.get("/v1/emails", f"Authorization: Bearer {STRAY_KEY}'${{x}}"),
        attacks.post("/v1/webhooks", body, key),
        attacks.get(f"/v1/emails?tags={QUERY_CANARY}", key).replace(b"HTTP/1.1", b"HTTP/9"),
    ]
    answers = [front.exchange(request) for request in probes]
    why = [explain(front, answers[place]) for place in (1, 2)]
    tally.check("logs", "why.sh explains a blocked query", "942" in why[0] and "ARGS:tags" in why[0] and "SQL" in why[0], why[0])
    tally.check("logs", "why.sh explains a blocked body", "941" in why[1] and "ARGS:json.description" in why[1], why[1])
    secrets = [ready["testKey"], ready["liveKey"], STRAY_KEY, BODY_CANARY, QUERY_CANARY, HEADER_CANARY, attacks.SQLI[4], "Bearer"]
    for file in [*front.logs.iterdir(), front.folder / "start.log", front.folder / "output"]:
        text = file.read_text(errors="replace")
        for secret in secrets:
            tally.check("logs", f"{file.name} does not hold {secret[:12]}…", secret not in text)
    tally.check("logs", "there is a line for each request", front.log("access.log").count("\n") > MAILS)
    for folder, was_made_at in front.spools.items():
        tally.check("logs", f"no file was ever made in {folder.name}", folder.stat().st_mtime_ns == was_made_at)


def explain(front, answer):
    ran = subprocess.run([front.folder / "rendered/why.sh", answer.headers["x-request-id"]], capture_output=True, text=True)
    return ran.stdout + ran.stderr


def main():
    ready = json.loads(Path(os.environ["SEALWRIGHT_READY_FILE"]).read_text())
    server_port, tls = int(ready["apiUrl"].rpartition(":")[2]), Path(ready["caCert"]).parent
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        # Both are settings that tools/test-waf.sh makes for the server that it starts.
        proxies, plain = os.environ.get("SEALWRIGHT_SERVER_TRUSTED_PROXIES"), os.environ.get("SEALWRIGHT_SERVER_HTTP_LISTEN")
        with Front(Path(folder) / "server", server_port, tls, plain) as front:
            check_attacks(front, tally)
            check_management(front, ready["testKey"], tally)
            check_mails(front, ready["testKey"], tally)
            check_http2(front, ready, tally)
            if proxies:
                check_addresses(front, ready["testKey"], tally)
            if plain:
                check_given_away(front, ready["testKey"], tally)
            check_without_tls(front, tally)
            check_tls(front, tally)
            check_refusals(front, tally)
            check_logs(front, ready, tally)
        upstream.check(Path(folder), tls, tally)
    sys.exit(tally.report())


main()
