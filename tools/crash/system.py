"""The processes of a run: the system under test, its PostgreSQL, the sinks. All of them end with the harness."""

import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
START_SECONDS_MAX = 60
PR_SET_PDEATHSIG = 1
DOMAIN = "crash.example"


class Failed(Exception):
    """The harness can't go on; no verdict."""


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    """A port that stays free while the server is down: outside the range from which the kernel gives ports away."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = random.randrange(max(1024, low - 20000), low)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no free port")


def binary():
    """The program to be tested: `SEALWRIGHT_BIN`, or the debug build of this checkout."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    path = Path(os.environ.get("SEALWRIGHT_BIN") or target / "debug" / "sealwright")
    if not path.exists():
        raise Failed(f"{path} is missing: run cargo build -p sealwright, or set SEALWRIGHT_BIN")
    return path


def plain_environment():
    """Settings of whoever runs the harness must not reach the system under test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SEALWRIGHT_")}


class Certificates:
    """A certificate for localhost and the authority behind it, as `sealwright dev` makes them."""

    def __init__(self, program, folder):
        ready = folder / "ready.json"
        command = [program, "dev", "--data", folder / "dev", "--listen", "127.0.0.1:0", "--ready-file", ready]
        with open(folder / "dev.log", "ab") as log:
            dev = subprocess.Popen(
                command, env=plain_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        try:
            wait_until(ready.exists, dev, "sealwright dev")
        finally:
            dev.kill()
            dev.wait()
        self.authority, self.cert, self.key = (folder / "dev" / name for name in ("ca.pem", "cert.pem", "key.pem"))


def wait_until(condition, process, name):
    deadline = time.monotonic() + START_SECONDS_MAX
    while not condition():
        if process.poll() is not None:
            raise Failed(f"{name} ended with status {process.returncode} instead of starting")
        if time.monotonic() > deadline:
            raise Failed(f"{name} did not start within {START_SECONDS_MAX} s")
        time.sleep(0.02)


class Sinks:
    """The receiver of mail and webhooks."""

    def __init__(self, folder, certificates):
        command = ["python3", HERE / "sinks.py", folder, certificates.cert, certificates.key]
        self.log = folder / "sinks.log"
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"the sinks did not start; {self.log} says why")
        self.ports = json.loads(line)

    def stop(self):
        self._process.stdin.close()
        self._process.wait(timeout=START_SECONDS_MAX)


class Sealwright:
    """The system under test, on one port and one store for the whole run."""

    def __init__(self, program, folder, certificates, sinks, postgres_urls, power_cut=None):
        self._store, self._power_cut = folder / "store", power_cut
        self.port = free_port()
        self.log = folder / "sealwright.log"
        self._program = program
        self._process = None
        settings = {
            "SERVER_LISTEN": f"127.0.0.1:{self.port}",
            "SERVER_TLS_CERT": certificates.cert,
            "SERVER_TLS_KEY": certificates.key,
            "STORE_DATA_DIR": self._store,
            "DELIVERY_STATIC_ROUTE": f"127.0.0.1:{sinks.ports['smtp']}",
            "DELIVERY_POLL_MS": 100,
            "NET_ALLOW_PRIVATE": "127.0.0.0/8,::1/128",
            "NET_EXTRA_CA": certificates.authority,
            "LOG_FORMAT": "json",
            **postgres_urls,
        }
        self._environment = {
            **plain_environment(), **{f"SEALWRIGHT_{name}": str(value) for name, value in settings.items()}
        }

    def run(self, *words):
        """A command of the operator; its output's lines."""
        done = subprocess.run([self._program, *words], env=self._environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"sealwright {' '.join(words[:2])}: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def account(self):
        """Makes an organization that may send, and returns its key."""
        org = self.run("org", "create", "Crash", "--plan", "enterprise", "--rate", "1000000")[0]
        self.run("domain", "add", DOMAIN, "--org", org, "--assume-verified")
        return self.run("key", "create", "crash", "--org", org, "--permission", "*")[1]

    def start(self):
        cut = self._power_cut.environment() if self._power_cut else {}
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve"], env={**self._environment, **cut}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )

    def require_alive(self):
        if self._process.poll() is not None:
            raise Failed(f"sealwright ended by itself with status {self._process.returncode}; {self.log} says why")

    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def kill(self):
        """SIGKILL: nothing in the process gets a chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            if self._power_cut:
                self._power_cut.strike(self._store)


class Postgres:
    """A server of its own: socket only, every commit synced."""

    DATABASE_OWNER = "postgres"
    LOGIN = "sealwright_crash"

    def __init__(self, folder, primary=None):
        """A new server; with `primary`, a standby of that one, which it will not commit without."""
        self._programs = self._find()
        self._folder, name = folder, "standby" if primary else "postgres"
        self._data, self.socket, self.log = folder / name, folder / f"{name}-socket", folder / f"{name}.log"
        self._as_user = []
        for made in (self._data, self.socket):
            made.mkdir(mode=0o700)
            if os.geteuid() == 0:
                # PostgreSQL refuses to run as root; the folder above needs to be passable for its user.
                shutil.chown(made, "postgres", "postgres")
        if os.geteuid() == 0:
            self._as_user = [
                "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "QUIT", "--"
            ]
        if primary:
            source = f"host={primary.socket} user={self.DATABASE_OWNER} application_name={name}"
            self._run("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--dbname", source, "--pgdata", self._data)
        else:
            self._run("initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--username", self.DATABASE_OWNER, "--pgdata", self._data)
        self.start()
        if primary:
            primary.wait_for(name)

    def _run(self, program, *words):
        done = subprocess.run([*self._as_user, self._programs / program, *words], cwd="/", capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{program}: {done.stderr.strip()}")

    def wait_for(self, standby):
        """From now on a commit is answered once it is on the standby's disk, too."""
        for statement in (f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'", "SELECT pg_reload_conf()"):
            if self._sql(statement).returncode != 0:
                raise Failed(f"psql: {statement}")
        deadline = time.monotonic() + START_SECONDS_MAX
        while "sync" not in self._sql("SELECT sync_state FROM pg_stat_replication WHERE sync_state = 'sync'").stdout.split():
            if time.monotonic() > deadline:
                raise Failed(f"the standby does not keep up; {self.log} says why")
            time.sleep(0.05)

    def promote(self):
        """A standby takes over."""
        self._run("pg_ctl", "promote", "--pgdata", self._data)

    def processes(self):
        """The server and its sessions."""
        found = [self._process.pid]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # It ended while we looked.
            if parent == self._process.pid:
                found.append(int(stat.parent.name))
        return found

    def signal_all(self, number):
        """To the server first, so that it starts nothing new, then to its sessions."""
        for process in self.processes():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass  # It ended with the first.

    def wait(self):
        self._process.wait()

    @staticmethod
    def _find():
        on_path = shutil.which("initdb")
        # Debian keeps the server's programs in a folder per major version, outside PATH.
        found = sorted(
            Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(re.sub(r"\D", "", path.parts[4]))
        )
        if not found and not on_path:
            raise Failed("PostgreSQL's server programs are not installed: run tools/install-test-deps.sh")
        return found[-1].parent if found else Path(on_path).resolve().parent

    def start(self):
        """Starts and waits until the server takes connections."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            self._launch()
            while self._process.poll() is None:
                if self._sql("SELECT 1").returncode == 0:
                    return
                if time.monotonic() > deadline:
                    raise Failed(f"PostgreSQL did not start within {START_SECONDS_MAX} s; {self.log} says why")
                time.sleep(0.05)
            # A killed postmaster's children hold its shared memory for a moment: then it refuses to start.
            if time.monotonic() > deadline:
                raise Failed(f"PostgreSQL ended with status {self._process.returncode}; {self.log} says why")
            time.sleep(0.1)

    def _launch(self):
        options = {"listen_addresses": "", "unix_socket_directories": self.socket, "fsync": "on", "shared_buffers": "64MB",
                   # How long a standby waits before it looks for its primary again: until then nothing is committed.
                   "wal_retrieve_retry_interval": "200ms"}
        command = [*self._as_user, self._programs / "postgres", "-D", self._data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _sql(self, text):
        command = [self._programs / "psql", "--no-psqlrc", "--quiet", "--host", self.socket,
                   "--username", self.DATABASE_OWNER, "--dbname", "postgres", "--command", text]
        return subprocess.run(command, cwd="/", capture_output=True, text=True)

    def urls(self, standby=None):
        """Settings that bring a Sealwright to this server, or to whichever of the two takes writes. The login owns nothing and is bound by
        row-level security."""
        hosts = f"{self.socket},{standby.socket} target_session_attrs=read-write" if standby else self.socket
        url = "host={} dbname=postgres user={}".format
        return {
            "STORE_POSTGRES_URL": url(hosts, self.LOGIN),
            "STORE_POSTGRES_OWNER_URL": url(hosts, self.DATABASE_OWNER),
        }

    def add_login(self):
        """Before the first migration, so that it can connect; the migration makes the roles that it is a member of."""
        roles = ("sealwright_app", "sealwright_system")
        made = "".join(f"CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS; " for role in roles)
        done = self._sql(f"{made} CREATE ROLE {self.LOGIN} LOGIN; GRANT {', '.join(roles)} TO {self.LOGIN}")
        if done.returncode != 0:
            raise Failed(f"psql: {done.stderr.strip()}")

    def kill(self, number):
        """Ends the server without a checkpoint: its next start recovers from its log."""
        self._process.send_signal(number)
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            self.kill(signal.SIGQUIT)
