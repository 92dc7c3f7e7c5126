"""schemathesis on the document that the server serves: what it promises is what is answered, and nothing makes the server fail.

Its check of ignored authentication fits: a missing and a wrong key are answered 401, because each request comes from a network of its own
and none is blocked for its tries.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from urllib.request import Request, urlopen

from server import serving
from system import Failed

HERE = Path(__file__).parent
SECONDS_MAX = 90


def judge(verdicts, certificates):
    verdicts.part("schemathesis on /v1/openapi.json")
    settings = {"SERVER_TRUSTED_PROXIES": "127.0.0.1/32", "NET_NAME_SERVERS": empty_dns()}
    with serving(certificates, **settings) as server, tempfile.TemporaryDirectory() as folder:
        report, answers = run(server, Path(folder))
        with urlopen(f"https://localhost:{server.port}/v1/openapi.json", context=server.tls("http/1.1")) as answer:
            document = json.load(answer)
    verdicts.holds("every operation was asked", report["complete"] and report["operations"]["tested"] == report["operations"]["total"],
                   f"{report['operations']['tested']} operations, {report['test_cases']['generated']} requests")
    verdicts.holds("schemathesis had no errors of its own", not report["errors"], "; ".join(map(str, report["errors"]))[:500])
    # Keys take turns only where the DNS shows them, and only mail that waits can be moved or taken back.
    names = {what["operationId"] for ways in document["paths"].values() for what in ways.values()} - {"getOpenApi", "hearRelay", "rotateDkim", "cancelEmail", "updateEmail"}
    unanswered = {f"{name} ({', '.join(f'{count} of {status}' for status, count in sorted(answers[name].items()))})" for name in names if not any(status < 300 for status in answers[name])}
    verdicts.holds("every operation succeeded at least once", not unanswered, ", ".join(sorted(unanswered)))
    failures = [(name, status) for name, all_of_it in answers.items() for status in all_of_it if status >= 500]
    verdicts.holds("nothing is answered 5xx", not failures, str(failures) if failures else "")
    verdicts.holds("answers and refusals are as the document says", not report["failures"])
    for failure in report["failures"]:
        verdicts.tell(f"{failure['code']} {failure['title']}: {', '.join(failure['operations'])}")


def empty_dns():
    """The address of a name server by which no name exists: domains are asked about, and nothing leaves this machine."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def answer():
        while True:
            query, client = sock.recvfrom(1500)
            question = query[12 : query.index(0, 12) + 5]
            # A response with recursion, NXDOMAIN, one question and nothing else (RFC 1035 section 4.1.1).
            sock.sendto(query[:2] + b"\x81\x83\x00\x01" + bytes(6) + question, client)

    threading.Thread(target=answer, daemon=True).start()
    return "{}:{}".format(*sock.getsockname())


def issuer(server):
    """The id of an issuer of sessions, for members to be of."""
    body = {"issuer": "https://id.example.com", "audience": "edge", "algorithm": "HS256", "secret": "edge" * 8}
    headers = {"Authorization": f"Bearer {server.live_key}", "Content-Type": "application/json"}
    request = Request(f"https://localhost:{server.port}/v1/session-issuers", json.dumps(body).encode(), headers)
    with urlopen(request, context=server.tls("http/1.1")) as answer:
        return json.load(answer)["id"]


def run(server, folder):
    """The report of schemathesis, and how often each operation was answered with each status."""
    report, answers = folder / "report.json", folder / "answers.json"
    environment = {
        **os.environ, "EDGE_KEY": server.key, "EDGE_LIVE_KEY": server.live_key, "EDGE_ISSUER": issuer(server), "EDGE_ANSWERS": str(answers), "SCHEMATHESIS_HOOKS": "document_hooks", "PYTHONPATH": str(HERE),
    }
    command = [
        Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "schemathesis.toml", "run",
        f"https://localhost:{server.port}/v1/openapi.json", "--tls-verify", server.authority,
        "--no-color", "--report", "json", "--report-json-path", report,
    ]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Failed(f"schemathesis was not done after {SECONDS_MAX} seconds") from None
    if done.returncode not in (0, 1):
        raise Failed(f"schemathesis: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    if done.returncode == 1:
        sys.stdout.write(done.stdout)
    counted = defaultdict(dict)
    for name, status, count in json.loads(answers.read_text()):
        counted[name][status] = count
    return json.loads(report.read_text()), counted
