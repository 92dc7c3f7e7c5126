"""The server under test: a fresh store, an organization without a tight limit, and a key for it."""

import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from system import Failed, binary, die_with_parent, free_port, plain_environment, wait_until

DOMAIN = "edge.example"
STOP_SECONDS_MAX = 30
LOG_LINES_SHOWN = 30


class Server:
    """A `sealwright serve` on a port of 127.0.0.1, with the settings of the field or others."""

    def __init__(self, folder, certificates, settings):
        self.port, self.admin_port = free_port(), free_port()
        self.address = ("127.0.0.1", self.port)
        self.authority = certificates.authority
        self.log = folder / "sealwright.log"
        self._program = binary()
        settings = {
            "SERVER_LISTEN": f"127.0.0.1:{self.port}",
            "SERVER_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "SERVER_TLS_CERT": certificates.cert,
            "SERVER_TLS_KEY": certificates.key,
            "STORE_DATA_DIR": folder / "store",
            "LOG_FORMAT": "json",
            **settings,
        }
        self._environment = {
            **plain_environment(), **{f"SEALWRIGHT_{name}": str(value) for name, value in settings.items()}
        }
        org = self._run("org", "create", "Edge", "--plan", "enterprise", "--rate", "1000000")[0]
        self._run("domain", "add", DOMAIN, "--org", org, "--assume-verified")
        self.key = self._run("key", "create", "edge", "--org", org, "--test", "--permission", "*")[1]
        self.live_key = self._run("key", "create", "edge live", "--org", org, "--permission", "*")[1]
        self._process = self._launch()
        try:
            wait_until(self._is_ready, self._process, "sealwright serve")
        except Failed:
            self.kill()
            raise

    def _run(self, *words):
        done = subprocess.run([self._program, *words], env=self._environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"sealwright {' '.join(words[:2])}: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def _launch(self):
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [self._program, "serve"], env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )

    def _is_ready(self):
        try:
            with urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def counted(self, metric, **labels):
        """The value of a counter or gauge; 0 for one that has not counted yet."""
        wanted = ",".join(f'{name}="{value}"' for name, value in labels.items())
        name = f"sealwright_{metric}" + (f"{{{wanted}}}" if wanted else "")
        with urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return int(float(line.split()[-1]))
        return 0

    def resident_kib(self, field="VmRSS"):
        """Memory of the process, as the kernel counts it: now, or at its most (`VmHWM`)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:"))

    def tls(self, *protocols):
        """A client's side of TLS that trusts this server."""
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols(list(protocols))
        return context

    def kill(self):
        """Ends it at once, if it still runs."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Ends it as an operator would; whoever did not live so long, or does not end, has failed."""
        if self._process.poll() is not None:
            raise Failed(f"sealwright ended by itself with status {self._process.returncode}")
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"sealwright still ran {STOP_SECONDS_MAX} seconds after it was told to stop") from None
        if status != 0:
            raise Failed(f"sealwright stopped with status {status}")


@contextmanager
def serving(certificates, **settings):
    """A server for as long as the block runs. Its log is shown when the block fails."""
    folder = Path(tempfile.mkdtemp(prefix="sealwright-edge-"))
    server = None
    try:
        server = Server(folder, certificates, settings)
        yield server
        server.stop()
    except BaseException:
        log = folder / "sealwright.log"
        if log.exists():
            sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-LOG_LINES_SHOWN:]))
        if server is not None:
            server.kill()
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
