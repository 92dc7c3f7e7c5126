"""What the firewall does towards the server behind it, seen from there: a recording HTTPS server takes Sealwright's place."""

import http.server
import ssl
import threading
import time

import attacks
from front import ANSWER_SECONDS_MAX, Front


class Recorder(http.server.ThreadingHTTPServer):
    """Answers everything with 200 and keeps the heads of the requests."""

    daemon_threads = True

    def __init__(self, tls):
        super().__init__(("127.0.0.1", 0), Answering)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.heads = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # a client that went away


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.server.heads.append((self.requestline, self.headers))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        # So that a server that is gone has left no connection behind.
        self.send_header("Connection", "close")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def check(folder, tls, tally):
    server = Recorder(tls)
    rules = folder / "local-rules.conf"
    rules.write_text('SecRule ARGS_GET:status "@streq mine" "id:20000,phase:1,deny,status:403,nolog"\n')
    with Front(folder / "recorded", server.server_port, tls, REQUESTS_PER_ADDRESS_MAX=3, LOCAL_RULES=rules) as front:
        check_what_arrives(front, server, tally)
        check_many_at_once(front, tally)
        answer = front.exchange(attacks.get("/v1/emails?status=mine"))
        tally.check("upstream", "a rule of the operator's own counts", answer.error == "request_blocked", answer)
        server.shutdown()
        server.server_close()
        answer = front.exchange(attacks.get("/v1/emails"))
        is_said = (answer.status, answer.error, answer.headers.get("retry-after")) == (503, "outcome_unknown", "5")
        tally.check("upstream", "a server that is gone is said as the API says it", is_said, answer)
    server = Recorder(tls)
    with Front(folder / "watching", server.server_port, tls, ENGINE="DetectionOnly") as front:
        for attack in (attacks.in_query(attacks.SQLI[3]), attacks.in_webhook(attacks.XSS[0])):
            front.exchange(attack)
        is_told = [rule in front.log("blocks.log") for rule in ("ARGS:tags", "ARGS:json.description")]
        tally.check("upstream", "an engine that only detects lets pass and tells", (len(server.heads), is_told) == (2, [True, True]), is_told)
    server.heads.clear()
    with Front(folder / "stranger", server.server_port, tls, UPSTREAM_NAME="other.example") as front:
        answer = front.exchange(attacks.get("/v1/emails"))
        tally.check("upstream", "a certificate of another name is not spoken to", answer.status == 503 and not server.heads, answer)
    server.shutdown()
    server.server_close()


def check_what_arrives(front, server, tally):
    claims = ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9", "Authorization: Bearer le_x",
              "Idempotency-Key: order-7", "Upgrade: h2c", "Connection: upgrade, close", "TE: trailers"]
    front.exchange(attacks.get("/v1/emails?status=sent&to=a%40example.com", *claims))
    ((line, head),) = server.heads
    tally.check("upstream", "path and query arrive as they were sent", line == "GET /v1/emails?status=sent&to=a%40example.com HTTP/1.1", line)
    tally.check("upstream", "the client's address is told", head.get_all("X-Forwarded-For") == ["127.0.0.1"], head)
    tally.check("upstream", "what the client claims about it is not", "203.0.113.9" not in str(head), head)
    tally.check("upstream", "the key arrives", head.get_all("Authorization") == ["Bearer le_x"], head)
    tally.check("upstream", "the idempotency key arrives", head.get_all("Idempotency-Key") == ["order-7"], head)
    tally.check("upstream", "no upgrade is passed on", head["Upgrade"] is None and head["TE"] is None, head)
    # Whatever is blocked must not have arrived in part, either.
    for attack in attacks.smuggling():
        front.exchange(attack.request)
    tally.check("upstream", "nothing of a smuggled request arrives", len(server.heads) == 1, server.heads[1:])


def check_many_at_once(front, tally):
    held = []
    for _ in range(3):
        connection = front.connect()
        # The body never comes, so the request stays open.
        connection.sendall(attacks.post("/v1/emails", b"").replace(b"Length: 0", b"Length: 9"))
        held.append(connection)
    # Until nginx has seen all three.
    until = time.monotonic() + ANSWER_SECONDS_MAX
    while (answer := front.exchange(attacks.get("/v1/emails"))).status == 200 and time.monotonic() < until:
        time.sleep(0.05)
    is_said = (answer.status, answer.error, answer.headers.get("retry-after")) == (429, "rate_limit_exceeded", "1")
    tally.check("upstream", "more requests at once than one address may have", is_said, answer)
    for connection in held:
        connection.close()
