"""The shipped recipe (deploy/waf) under test: rendered for free ports of loopback, run by an nginx of its own."""

import getpass
import grp
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "deploy" / "waf"
MODULES = Path("/usr/lib/nginx/modules")
NAME = "localhost"
START_SECONDS_MAX = 20
ANSWER_SECONDS_MAX = 20

# What Debian's own nginx.conf would bring; everything else is the recipe's.
NGINX_CONF = """
load_module {modules}/ngx_http_modsecurity_module.so;
user {user} {group};
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/start.log notice;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/unused; scgi_temp_path {folder}/unused; uwsgi_temp_path {folder}/unused;
    include {folder}/rendered/http.conf;
}}
"""


def free_ports(count):
    """Ports that nothing listens on now. All are held until the last is found, so that none comes twice."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


class Front:
    """nginx with the recipe in `folder`, before the HTTPS server at `upstream_port` whose certificates are in `tls`."""

    def __init__(self, folder, upstream_port, tls, upstream_http=None, **changed):
        self.folder = folder
        self.plain_port, self.port = free_ports(2)
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True)
        settings = {
            "SERVER_NAME": NAME,
            "HTTP_LISTEN": f"127.0.0.1:{self.plain_port}",
            "HTTPS_LISTEN": f"127.0.0.1:{self.port}",
            "TLS_CERT": tls / "cert.pem",
            "TLS_KEY": tls / "key.pem",
            "UPSTREAM": f"127.0.0.1:{upstream_port}",
            "UPSTREAM_NAME": NAME,
            "UPSTREAM_CA": tls / "ca.pem",
            "UPSTREAM_HTTP": upstream_http or f"127.0.0.1:{free_ports(1)[0]}",
            "LOG_FOLDER": self.logs,
            **changed,
        }
        # Laid over the shipped example, so that a setting which is missing there fails here.
        chosen = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in settings.items())
        (folder / "settings").write_text((RECIPE / "settings.example").read_text() + chosen)
        subprocess.run([RECIPE / "render.sh", folder / "settings", folder / "rendered"], check=True)
        me = {"user": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
        (folder / "nginx.conf").write_text(NGINX_CONF.format(modules=MODULES, folder=folder, **me))
        self.ca = tls / "ca.pem"
        self.trust = self.client_tls()
        self.process = None
        # Where nginx would put a body that it does not hold in memory, and when the folder last changed.
        self.spools = {}

    def __enter__(self):
        command = [shutil.which("nginx"), "-p", self.folder, "-c", self.folder / "nginx.conf", "-g", "daemon off;"]
        self.output = open(self.folder / "output", "wb")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=self.output)
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.connect().close()
                self.spools = {spool: spool.stat().st_mtime_ns for spool in (self.folder / "bodies", self.folder / "answers")}
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    said = (self.folder / "output").read_text() + self.log("../start.log")
                    self.__exit__()
                    raise SystemExit(f"nginx does not serve; it said:\n{said}") from None
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.output.close()

    def log(self, name):
        """The text of a log file; empty if nothing was written."""
        file = self.logs / name
        return file.read_text(errors="replace") if file.exists() else ""

    def client_tls(self):
        """TLS as a client has it that trusts the certificate's issuer."""
        return ssl.create_default_context(cafile=self.ca)

    def connect(self, port=None, plain=False, name=NAME, trust=None):
        """A connection as a client makes it: TLS with the name checked, unless told otherwise."""
        port = port or (self.plain_port if plain else self.port)
        found = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS_MAX)
        return found if plain else (trust or self.trust).wrap_socket(found, server_hostname=name)

    def exchange(self, request, plain=False):
        """Sends bytes as they are and returns the first answer; its status is 0 if there was none."""
        with self.connect(plain=plain) as connection:
            try:
                connection.sendall(request)
            except OSError:
                pass  # a refused request may be cut off while it is still being sent
            return read_answer(connection)


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def error(self):
        """The code in the API's error form, or nothing."""
        try:
            return json.loads(self.body)["error"]["code"]
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def is_ours(self):
        """Whether the firewall gave it: its request ids are longer than Sealwright's."""
        return re.fullmatch("req_[0-9a-f]{32}", self.headers.get("x-request-id", "")) is not None


def read_answer(connection):
    got = b""

    def more():
        nonlocal got
        try:
            chunk = connection.recv(65536)
        except OSError:
            chunk = b""
        got += chunk
        return chunk

    while b"\r\n\r\n" not in got and more():
        pass
    head, _, _ = got.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    end = len(head) + 4 + int(headers.get("content-length", 0))
    while len(got) < end and more():
        pass
    status = re.match(r"HTTP/1\.1 (\d{3}) ", first)
    return Answer(int(status[1]) if status else 0, headers, got[len(head) + 4 : end])
