"""An installation of the system under test: a store, an organization whose domain the DNS shows, and its server."""

import http.client
import json
import signal
import ssl
import subprocess
import time
from urllib.request import urlopen

from names import INSIDE
from system import Failed, binary, die_with_parent, free_port, plain_environment, wait_until

STOP_SECONDS_MAX = 30
REQUEST_SECONDS_MAX = 30
POLL_S = 0.2
# A key is told of at 75 days, and a domain that nobody published has failed after 30.
LONG_AGO = "80 days ago"
LOST_DOMAIN = "never-published.example"
FINISHED = {"delivered", "bounced", "failed", "suppressed"}


class House:
    """`sealwright serve` with a domain of its own, from an address of its own."""

    def __init__(self, engine, number, folder, certificates, postgres_urls):
        self.engine, self.number, self.address = engine, number, INSIDE.format(number)
        self.domain = f"{engine}.example"
        self.log = folder / "sealwright.log"
        self.sent = {}
        self._port, self._admin_port = free_port(), free_port()
        self._tls = ssl.create_default_context(cafile=str(certificates.authority))
        self._program, self._process, self._connection = binary(), None, None
        self._settings = {
            "SERVER_LISTEN": f"127.0.0.1:{self._port}",
            "SERVER_ADMIN_LISTEN": f"127.0.0.1:{self._admin_port}",
            "SERVER_TLS_CERT": certificates.cert,
            "SERVER_TLS_KEY": certificates.key,
            "STORE_DATA_DIR": folder / "store",
            "DELIVERY_EHLO_NAME": f"mail.{self.domain}",
            "DELIVERY_SOURCE_ADDRESS": self.address,
            "DELIVERY_POLL_MS": 100,
            "NET_EXTRA_CA": certificates.authority,
            "NET_ALLOW_PRIVATE": "127.0.0.0/8,::1/128",
            "LOG_FORMAT": "json",
            **postgres_urls,
        }

    def found(self):
        """Makes the organization and its domain; returns the records that the domain's zone is to have."""
        self.org = self.run("org", "create", "Farm", "--plan", "enterprise", "--rate", "1000000", at=LONG_AGO)[0]
        self._settings["NOTICES_FROM"] = f"Sealwright <security@{self.domain}>"
        self._settings["NOTICES_ORG"] = self.org
        return "\n".join(self.run("domain", "add", self.domain, "--org", self.org)[1:])

    def settle_in(self, port, name_server):
        """Verifies the domain by the DNS and makes the keys: one today, one long ago, with a domain that nobody ever published."""
        self._settings["DELIVERY_PORT"] = port
        self._settings["SMTP_LISTEN"] = f"{self.address}:{port}"
        self._settings["NET_NAME_SERVERS"] = f"{name_server.address}:{name_server.port}"
        self._settings["NET_AUTHORITY_PORT"] = name_server.port
        self.run("domain", "verify", self.domain, "--org", self.org)
        key = ("key", "create", "farm", "--org", self.org, "--permission", "*")
        self.run("domain", "add", LOST_DOMAIN, "--org", self.org, at=LONG_AGO)
        self.run(*key, at=LONG_AGO)
        self.key, self.leaked_key = (self.run(*key)[1] for _ in range(2))

    def run(self, *words, at=None):
        """A command of the operator, today or at another time; its output's lines."""
        command = [self._program, *words] if at is None else ["faketime", at, self._program, *words]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"sealwright {' '.join(words[:2])}: {done.stderr.strip()} {done.stdout.strip()}")
        return done.stdout.splitlines()

    def _environment(self):
        return {**plain_environment(), **{f"SEALWRIGHT_{name}": str(value) for name, value in self._settings.items()}}

    def start(self, contact):
        """Serves, once the organization has a security contact: what there is to tell is told at the start."""
        self._launch("api")
        status, answer = self.call("PATCH", "/v1/settings", {"securityContact": contact})
        if status != 200:
            raise Failed(f"settings: {answer}")
        self.stop()
        self._launch("all")

    def _launch(self, roles):
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", "--roles", roles], env=self._environment(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=die_with_parent,
            )
        wait_until(self._is_ready, self._process, "sealwright serve")

    def _is_ready(self):
        try:
            with urlopen(f"http://127.0.0.1:{self._admin_port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        """Ends it as an operator would; whoever did not live so long, or does not end, has failed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if process.poll() is not None:
            raise Failed(f"sealwright ended by itself with status {process.returncode}; {self.log} says why")
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"sealwright still ran {STOP_SECONDS_MAX} seconds after it was told to stop") from None

    def call(self, method, path, body=None):
        """Status and JSON of an answer."""
        content = None if body is None else json.dumps(body).encode()
        fields = {"Authorization": f"Bearer {self.key}"} | ({"Content-Type": "application/json"} if content else {})
        for is_last in (False, True):
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    "localhost", self._port, context=self._tls, timeout=REQUEST_SECONDS_MAX
                )
            try:
                self._connection.request(method, path, content, fields)
                answer = self._connection.getresponse()
                return answer.status, json.loads(answer.read() or b"null")
            except (OSError, http.client.HTTPException) as error:
                # A kept connection may have been closed meanwhile.
                self._connection.close()
                self._connection = None
                if is_last or method == "POST":
                    raise Failed(f"{method} {path}: {error!r}; {self.log} may say why") from None
        raise AssertionError

    def send(self, to, **fields):
        """Sends a mail; its id, and what was answered if it was refused."""
        mail = {"from": f"Farm <farm@{self.domain}>", "to": to, "subject": "From the farm", **fields}
        status, answer = self.call("POST", "/v1/emails", mail)
        if status != 200:
            return None, (status, answer["error"]["code"])
        self.sent[answer["id"]] = to
        return answer["id"], None

    def shown(self, email):
        return self.call("GET", f"/v1/emails/{email}")[1]

    def attempts(self, email):
        return self.call("GET", f"/v1/emails/{email}/attempts")[1]["data"]

    def finished(self, emails, within_s):
        """The mails as they are shown once they are finished, or when the time is over."""
        return self.waits_for(emails, lambda shown: shown["status"] in FINISHED, within_s)

    def waits_for(self, emails, is_so, within_s):
        """The mails as they are shown once each is so, or when the time is over."""
        deadline, shown, waiting = time.monotonic() + within_s, {}, list(emails)
        while True:
            shown |= {email: self.shown(email) for email in waiting}
            waiting = [email for email in waiting if not is_so(shown[email])]
            if not waiting or time.monotonic() > deadline:
                return shown
            time.sleep(POLL_S)

    def listed(self):
        """All mails that there are, by id."""
        found, after = {}, ""
        while True:
            page = self.call("GET", f"/v1/emails?limit=100{after}")[1]
            found |= {mail["id"]: mail for mail in page["data"]}
            if not page["hasMore"]:
                return found
            after = f"&starting_after={page['data'][-1]['id']}"


def statuses(shown):
    """Of one mail as it is shown: its recipients' statuses."""
    return {recipient["recipient"]: recipient["status"] for recipient in shown["recipients"]}


def event_types(shown, recipient=None):
    """Types of a mail's events, in their order; of one recipient, or of all."""
    return [event["type"] for event in shown["events"] if recipient is None or event["data"].get("to") == recipient]
