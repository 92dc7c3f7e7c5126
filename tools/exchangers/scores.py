"""What spam filters think of the mail that the server writes itself, and of a typical one that it sends for others.

SpamAssassin without its network rules, and rspamd, which asks the farm's own DNS: there it finds SPF, the DKIM key, the DMARC policy and
the names of the sending address. Neither has learnt anything.
"""

import http.client
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import threading

from names import OUTSIDE, POSTFIX
from receivers import is_open
from system import ROOT, Failed, die_with_parent, free_port, wait_until

SPAMASSASSIN_MAX, RSPAMD_MAX = 0.5, 3.0
ARRIVES_WITHIN_S = 30
SCAN_SECONDS_MAX = 30
WORDS = ROOT / "crates/server/src/features/notices/words.rs"
# Beginnings of their subjects: one for each kind of notice.
NOTICES = (
    "An API key was exposed", "An API key is ", "A sending domain failed", "Security settings were changed",
    "A webhook endpoint was disabled",
)

ORDER_TEXT = """Hello Ada,

thank you for your order. We are packing it now and will write again when it leaves.

Order 10423
2 x Notebook, ruled: 11.80 EUR
1 x Pencil: 1.20 EUR
Total: 13.00 EUR

If something is wrong with it, answer this mail.

The farm shop
"""
ORDER_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Your order 10423</title></head>
<body style="font-family: sans-serif">
<p>Hello Ada,</p>
<p>thank you for your order. We are packing it now and will write again when it leaves.</p>
<table><caption>Order 10423</caption>
<tr><td>2 x Notebook, ruled</td><td>11.80 EUR</td></tr>
<tr><td>1 x Pencil</td><td>1.20 EUR</td></tr>
<tr><th>Total</th><th>13.00 EUR</th></tr></table>
<p>If something is wrong with it, answer this mail.</p>
<p>The farm shop</p>
</body></html>
"""
RSPAMD = """
.include "/etc/rspamd/common.conf"
options {{
  .include "/etc/rspamd/options.inc"
  .include(priority=1,duplicate=merge) "{folder}/options.inc"
}}
logging {{ type = "file"; filename = "{folder}/log"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
"""
RSPAMD_OPTIONS = """
pidfile = "{folder}/pid";
tempdir = "{folder}";
filters = "chartable,dkim,regexp";
dns {{ nameserver = ["{resolver.address}:{resolver.port}"]; }}
"""


def judge(verdicts, town):
    verdicts.part(f"spam filters: SpamAssassin below {SPAMASSASSIN_MAX}, rspamd below {RSPAMD_MAX}")
    rspamd = Rspamd(town.folder / "rspamd", town.knot)
    town.cleanup.callback(rspamd.stop)
    house = town.houses[0]
    kinds = WORDS.read_text().count("counted_as: \"")
    verdicts.holds("every kind of notice is among them", kinds == len(NOTICES), f"{kinds} kinds")
    house.call("POST", "/v1/secrets/exposed", {"secrets": [{"token": house.leaked_key}]})
    hook = {"url": f"https://localhost:{gone(town)}/", "events": ["email.sent"]}
    verdicts.holds("a webhook endpoint that answers 410 is made", house.call("POST", "/v1/webhooks", hook)[0] == 201)
    mail = {"subject": "Your order 10423", "from": f"The farm shop <shop@{house.domain}>"}
    to = [f"Ada <reader@{POSTFIX}>"]
    wanted = {
        "order, text and HTML": house.send(to, text=ORDER_TEXT, html=ORDER_HTML, **mail)[0],
        "order, HTML only": house.send(to, html=ORDER_HTML, **mail)[0],
    }
    town.settles(lambda: len(notices(house)) == len(NOTICES))
    wanted |= notices(house)
    verdicts.holds("and was sent", len(notices(house)) == len(NOTICES), ", ".join(notices(house)))
    house.finished(wanted.values(), ARRIVES_WITHIN_S)
    town.settles(lambda: set(wanted.values()) <= {copy.email for copy in town.postfix.copies()})
    copies = {copy.email: copy for copy in town.postfix.copies()}
    for name, email in wanted.items():
        score, why = spamassassin(copies[email].stored, town.folder)
        verdicts.holds(f"SpamAssassin: {name}", score < SPAMASSASSIN_MAX, f"{score} ({why})")
        score, why = rspamd.score(copies[email], house)
        verdicts.holds(f"rspamd: {name}", score < RSPAMD_MAX, f"{score:.1f} ({why})")


def gone(town):
    """The port of a webhook receiver that wants nothing any more."""

    class Gone(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(410)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gone)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(town.certificates.cert, town.certificates.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    town.cleanup.callback(server.shutdown)
    return server.server_port


def notices(house):
    """Subject and id of each kind of notice that was sent."""
    found = {}
    for id_, mail in house.listed().items():
        if mail["subject"].startswith(NOTICES):
            found.setdefault(mail["subject"], id_)
    return found


def spamassassin(stored, folder):
    """The score, and the rules that made it."""
    # On loopback every relay is trusted, which it would think well of.
    (folder / ".spamassassin").mkdir(exist_ok=True)
    (folder / ".spamassassin/user_prefs").write_text("score ALL_TRUSTED 0\n")
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        ["spamassassin", "-L", "-t"], input=stored, capture_output=True, env=environment, timeout=SCAN_SECONDS_MAX
    )
    told = re.search(rb"(?s)X-Spam-Status: \w+, score=(-?[\d.]+) required=\S+ tests=(.*?)\s+(?:autolearn|version)=", done.stdout)
    if not told:
        raise Failed(f"spamassassin: {done.stderr.decode(errors='replace').strip()}")
    return float(told[1]), re.sub(r"\s+", "", told[2].decode()).replace(",", " ")


class Rspamd:
    """Its scanner alone, without what it learns, and without a store."""

    def __init__(self, folder, resolver):
        folder.mkdir()
        folder.chmod(0o755)
        shutil.chown(folder, "_rspamd", "_rspamd")
        self._port = free_port()
        (folder / "rspamd.conf").write_text(RSPAMD.format(folder=folder, port=self._port))
        (folder / "options.inc").write_text(RSPAMD_OPTIONS.format(folder=folder, resolver=resolver))
        folders = [f"--var={name}={folder}" for name in ("DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR")]
        with open(folder / "output", "ab") as log:
            self._process = subprocess.Popen(
                ["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", folder / "rspamd.conf", *folders],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )
        wait_until(lambda: is_open("127.0.0.1", self._port), self._process, "rspamd")

    def score(self, copy, house):
        """The score, and the symbols that made it; as if the mail had come from the address that the world sees."""
        envelope = {
            "IP": OUTSIDE.format(house.number), "Helo": f"mail.{house.domain}", "Hostname": f"mail.{house.domain}",
            "From": copy.sender, "Rcpt": f"reader@{POSTFIX}",
        }
        asking = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SCAN_SECONDS_MAX)
        asking.request("POST", "/checkv2", copy.stored, envelope)
        told = json.loads(asking.getresponse().read())
        asking.close()
        symbols = sorted(told["symbols"].values(), key=lambda symbol: -symbol["score"])
        return told["score"], " ".join(f"{symbol['name']}={symbol['score']:g}" for symbol in symbols if symbol["score"])

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Failed("rspamd did not end") from None
