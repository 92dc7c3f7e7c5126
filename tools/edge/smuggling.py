"""Requests that two readers may read differently, on HTTP/1.1: the server reads them in one way, or not at all.

Each message holds a second request, `GET /v1/me` with a good key, where a lenient reader would find one. Whether that request was carried
out is not read from the answers but counted by the server. The same messages then go through nginx, which keeps connections to the
server open between requests of different clients: there, the server may not see a request that nginx did not.
"""

import re
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from server import serving
from system import die_with_parent, free_port, wait_until

CLOSE_SECONDS_MAX = 2
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

# What stands between the request line and the key, and the body; INNER is the second request.
LENGTH = "Content-Length: {length}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = "2\r\n{{}}\r\n0\r\n\r\n{inner}"
MESSAGES = {
    "length, then chunked": (f"{LENGTH}\r\n{CHUNKED}", "0\r\n\r\n{inner}"),
    "chunked, then length": (f"{CHUNKED}\r\n{LENGTH}", "0\r\n\r\n{inner}"),
    "chunked, and a length that ends early": (f"{CHUNKED}\r\nContent-Length: 4", "{hex}\r\n{inner}\r\n0\r\n\r\n"),
    "chunked twice": (f"{CHUNKED}\r\n{CHUNKED}", CHUNKS),
    "chunked twice in a list": ("Transfer-Encoding: chunked, chunked", CHUNKS),
    "chunked and identity": (f"{CHUNKED}\r\nTransfer-Encoding: identity", CHUNKS),
    "an unknown coding after chunked": (f"{CHUNKED}\r\nTransfer-Encoding: cow", CHUNKS),
    "an unknown coding, and a length": (f"Transfer-Encoding: xchunked\r\n{LENGTH}", "{inner}"),
    "a list with chunked not last": ("Transfer-Encoding: chunked, identity", CHUNKS),
    "chunked in quotes": ('Transfer-Encoding: "chunked"\r\nContent-Length: 2', "{{}}{inner}"),
    "chunked behind a vertical tab": ("Transfer-Encoding: \x0bchunked\r\nContent-Length: 2", "{{}}{inner}"),
    "a space before the colon": ("Transfer-Encoding : chunked\r\nContent-Length: 2", "{{}}{inner}"),
    "a name behind a space": (" Transfer-Encoding: chunked\r\nContent-Length: 2", "{{}}{inner}"),
    "a folded line": ("Transfer-Encoding:\r\n chunked\r\nContent-Length: 2", "{{}}{inner}"),
    "two lengths": ("Content-Length: 2\r\nContent-Length: {length}", "{{}}{inner}"),
    "two lengths that are the same": ("Content-Length: 2\r\nContent-Length: 2", "{{}}{inner}"),
    "two lengths in a list": ("Content-Length: 2, {length}", "{{}}{inner}"),
    "a length with a sign": ("Content-Length: +2", "{{}}{inner}"),
    "a negative length": ("Content-Length: -2", "{{}}{inner}"),
    "a hexadecimal length": ("Content-Length: 0x2", "{{}}{inner}"),
    "a length beyond 64 bits": ("Content-Length: 18446744073709551618", "{{}}{inner}"),
    "a bare line feed that ends a field": ("X: y\nContent-Length: 2", "{{}}{inner}"),
    "a bare line feed that hides a field": ("X: y\nTransfer-Encoding: chunked\r\nContent-Length: 2", "{{}}{inner}"),
    "a bare carriage return": ("X: y\rTransfer-Encoding: chunked\r\nContent-Length: 2", "{{}}{inner}"),
    "a null in a field": ("X: y\0\r\nContent-Length: 2", "{{}}{inner}"),
    "a chunk's size with a sign": (CHUNKED, "+2\r\n{{}}\r\n0\r\n\r\n{inner}"),
    "a chunk's size with a prefix": (CHUNKED, "0x2\r\n{{}}\r\n0\r\n\r\n{inner}"),
    "a chunk's size beyond 64 bits": (CHUNKED, "10000000000000002\r\n{{}}\r\n0\r\n\r\n{inner}"),
    "a chunk's size that ends with a line feed": (CHUNKED, "2\n{{}}\r\n0\r\n\r\n{inner}"),
    "a chunk that is longer than it says": (CHUNKED, "1\r\n{{}}\r\n0\r\n\r\n{inner}"),
    "a chunk that ends with a line feed": (CHUNKED, "2\r\n{{}}\n0\r\n\r\n{inner}"),
    "a bare line feed in a chunk's extension": (CHUNKED, "2;\nxx\r\n{{}}\r\n0\r\n\r\n{inner}"),
    "a last chunk without its line": (CHUNKED, "2\r\n{{}}\r\n0\r\n{inner}"),
}

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
events {{}}
http {{
  log_format line "$request";
  access_log {folder}/requests line;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream sealwright {{ server 127.0.0.1:{upstream}; keepalive 2; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass https://sealwright;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host localhost;
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_request_buffering off;
    }}
  }}
}}
"""


def judge(verdicts, certificates):
    verdicts.part(f"request smuggling, {len(MESSAGES)} messages")
    with serving(certificates) as server:
        context = server.tls("http/1.1")

        def directly():
            return context.wrap_socket(socket.create_connection(server.address), server_hostname="localhost")

        control(verdicts, server, directly)
        for name in MESSAGES:
            alone(verdicts, server, directly, name)
        before = carried_out_by(server)
        with nginx(server) as (port, log):
            for name in MESSAGES:
                say(lambda: socket.create_connection(("127.0.0.1", port)), message(server, name))
            seen = log.read_text().splitlines().count("GET /v1/me HTTP/1.1")
        carried_out = carried_out_by(server) - before
        verdicts.holds("behind nginx, the server sees no request that nginx did not see", carried_out <= seen,
                       f"{carried_out} by the server, {seen} by nginx")


def control(verdicts, server, connect):
    """Two requests that are good are both carried out: the eyes of this test are open."""
    statuses, _ = say(connect, outer(server, "Content-Length: 2", "{}" + inner(server)))
    verdicts.holds("of two good requests, both are answered", statuses == ["400", "200"] and carried_out_by(server) == 1, f"{statuses}")


def alone(verdicts, server, connect, name):
    before = carried_out_by(server)
    statuses, is_closed = say(connect, message(server, name))
    is_safe = len(statuses) <= 1 and is_closed and carried_out_by(server) == before
    end = "closed" if is_closed else "left open"
    verdicts.holds(f"{name}: refused or answered once, then closed", is_safe, f"{' '.join(statuses) or 'no answer'}, {end}")


def inner(server):
    return f"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n\r\n"


def outer(server, fields, body):
    head = f"POST /v1/emails HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\nContent-Type: application/json\r\n"
    return f"{head}{fields}\r\n\r\n{body}".encode()


def message(server, name):
    fields, body = MESSAGES[name]
    second = inner(server)
    body = body.format(inner=second, hex=f"{len(second):x}")
    return outer(server, fields.format(length=len(body)), body)


def say(connect, message):
    """The statuses of the answers, and whether the connection was closed by the other side."""
    said = b""
    with connect() as connection:
        connection.settimeout(CLOSE_SECONDS_MAX)
        try:
            connection.sendall(message)
            while received := connection.recv(1 << 16):
                said += received
            is_closed = True
        except TimeoutError:
            is_closed = False
        except OSError:
            is_closed = True  # a reset ends it as well
    return [status.decode() for status in STATUS.findall(said)], is_closed


def carried_out_by(server):
    return server.counted("requests_total", route="/v1/me", status="200")


@contextmanager
def nginx(server):
    """nginx in front of the server: its port, and its log of request lines."""
    with tempfile.TemporaryDirectory(prefix="sealwright-nginx-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        settings = folder / "nginx.conf"
        settings.write_text(NGINX.format(folder=folder, port=port, upstream=server.port))
        with open(folder / "errors", "ab") as log:
            process = subprocess.Popen(
                ["nginx", "-p", folder, "-e", "stderr", "-c", settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )
        try:
            wait_until(lambda: is_open(port), process, "nginx")
            yield port, folder / "requests"
        finally:
            process.terminate()
            process.wait()


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
