"""Puts other mail servers through the work that `sealwright bench deliver` does, on this machine: run_peer.py [PEER…]

The same 10 KiB message is given to a private Postfix, Haraka or Exim by smtp-source, signed (RSA-2048), queued on disk and relayed to
smtp-sink; each message counts once the sink has it. Everything is on 127.0.0.1, bounded in number and in time, and ends with the
processes it started. Standard output is one JSON object for each peer, standard error a line for people. A peer that is missing, or that
does not deliver everything signed, is an error. Needs root, as Postfix does.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from make_message import SIZE_DEFAULT, message

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 10
RUN_SECONDS_MAX = 180
SAMPLE_SECONDS = 0.5
ROOT = HERE.parent.parent
EXIM = ROOT / ".deps/exim/usr/sbin/exim4"
HARAKA = ROOT / ".deps/haraka/node_modules/Haraka"
PEERS = {
    "postfix": ("postfix", "postconf", "opendkim"),
    "haraka": ("node", HARAKA / "bin/haraka"),
    "exim": (EXIM, "unshare"),
}
NEEDED = ("openssl", "smtp-source", "smtp-sink")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("peers", nargs="*", default=list(PEERS), metavar="PEER", help=f"of {', '.join(PEERS)} (all)")
    options.add_argument("--messages", type=int, default=2000, help="how many in each round (2000)")
    options.add_argument("--sessions", type=int, default=20, help="connections that bring them (20)")
    options.add_argument("--rounds", type=int, default=3, help="the median of these is printed (3)")
    options.add_argument("--bytes", type=int, default=SIZE_DEFAULT, help="size of a message (10240)")
    options = options.parse_args()
    require_programs(options.peers)

    # Signals end the program the ordinary way, so that the peer's processes end with it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    for peer in options.peers:
        measure(peer, options)


def measure(peer, options):
    with ExitStack() as cleanup:
        work = work_folder(cleanup)
        smtp, milter, sink = free_ports(3)
        layout = ["bash", HERE / f"{peer}.sh", work, str(smtp), str(milter), str(sink)]
        subprocess.run(layout, check=True, env={**os.environ, "EXIM": str(EXIM), "HARAKA": str(HARAKA)})
        mail = work / "message.eml"
        mail.write_bytes(smtp_source_input(message(options.bytes)))
        processes = start_peer(cleanup, peer, work, smtp, milter)
        check_signature(work, mail, smtp, sink)
        rounds = [one_round(options, mail, processes, smtp, sink) for _ in range(options.rounds)]

    figures = {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}
    figures["n"] = options.messages
    name = "postfix+opendkim" if peer == "postfix" else peer
    print(json.dumps({"peer": name, "rounds": options.rounds, **figures}), flush=True)
    print(
        f"{name}: accepted {figures['accepted_per_s']:.0f}/s, delivered {figures['delivered_per_s']:.0f}/s, "
        f"{figures['cpu_s_per_1000']:.2f} CPU-s per 1,000 (whole machine), {figures['cpu_s_per_1000_peer']:.2f} (its own processes), "
        f"peak PSS {figures['peak_pss_mib']:.0f} MiB",
        file=sys.stderr,
    )


def require_programs(peers):
    unknown = [peer for peer in peers if peer not in PEERS]
    if unknown:
        sys.exit(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    needed = [*NEEDED, *(program for peer in peers for program in PEERS[peer])]
    missing = [str(program) for program in needed if not shutil.which(program)]
    if missing:
        sys.exit(f"missing: {', '.join(missing)}: run tools/install-test-deps.sh")
    if os.geteuid() != 0:
        sys.exit("Postfix runs as root only: run this with sudo")


def work_folder(cleanup):
    """A folder on a real disk: a queue in memory would measure something else."""
    folder = Path(tempfile.mkdtemp(prefix="sealwright-peer-"))
    if subprocess.check_output(["stat", "-f", "-c", "%T", folder], text=True).strip() in ("tmpfs", "ramfs"):
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="sealwright-peer-", dir="/var/tmp"))
    cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def free_ports(count):
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def smtp_source_input(raw):
    """smtp-source writes the line ends itself, so that a file of its own holds LF."""
    return raw.replace(b"\r\n", b"\n")


def start_peer(cleanup, peer, work, smtp, milter):
    started = []
    for port, command in commands(peer, work, smtp, milter):
        # A session of its own: Postfix's master ends its whole process group when it is told to stop.
        kept = [sys.executable, HERE / "keep.py", *command]
        with open(work / "output", "ab") as log:
            child = subprocess.Popen(kept, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        cleanup.callback(stop, child)
        started.append(child.pid)
        wait_for_port(port, child, work / "output")
    return started


def commands(peer, work, smtp, milter):
    """What runs in the foreground, and the port at which it answers."""
    if peer == "haraka":
        return [(smtp, ["node", HARAKA / "bin/haraka", "-c", work])]
    if peer == "exim":
        mounts = f"mount --bind {work}/passwd /etc/passwd && mount --bind {work}/group /etc/group"
        return [(smtp, ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", EXIM, "-C", work / "exim.conf", "-bdf"])]
    daemons = subprocess.check_output(["postconf", "-dh", "daemon_directory"], text=True).strip()
    return [
        (milter, ["opendkim", "-f", "-x", work / "opendkim.conf"]),
        # -d keeps the master in the foreground, so that it stays our child's.
        (smtp, [f"{daemons}/master", "-c", work / "etc", "-d"]),
    ]


def wait_for_port(port, child, log=None):
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        if child.poll() is not None:
            said = log.read_text(errors="replace")[-1000:] if log else ""
            sys.exit(f"{name_of(child)} ended with status {child.returncode} instead of serving\n{said}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{name_of(child)} does not answer on port {port}")


def name_of(child):
    """The program, whoever keeps it."""
    words = [str(word) for word in child.args]
    return words[2] if words[1:] and words[1].endswith("keep.py") else words[0]


def stop(child):
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        # The group is the child's own session: nothing of anyone else's is in it.
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        sys.exit(f"{name_of(child)} does not end when it is told to")


def smtp_source(mail, count, sessions, port):
    return [
        "smtp-source", "-d", "-s", str(sessions), "-m", str(count), "-F", str(mail),
        "-f", "orders@shop.example", "-t", "grace@reader.example", f"127.0.0.1:{port}",
    ]  # fmt: skip


def start_sink(sink, count, *more):
    child = subprocess.Popen(
        ["smtp-sink", "-u", "nobody", *more, "-M", str(count), f"127.0.0.1:{sink}", "1000"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for_port(sink, child)
    return child


def check_signature(work, mail, smtp, sink):
    """One message is kept and looked at: a peer that does not sign would win unfairly."""
    kept = work / "kept"
    kept.mkdir()
    shutil.chown(kept, "nobody")
    sink_process = start_sink(sink, 2, "-d", f"{kept}/")
    try:
        subprocess.run(smtp_source(mail, 1, 1, smtp), check=True, timeout=START_SECONDS_MAX, stdout=subprocess.DEVNULL)
        delivered, until = b"", time.monotonic() + START_SECONDS_MAX
        while len(delivered) < mail.stat().st_size and time.monotonic() < until:
            time.sleep(0.1)
            delivered = b"".join(file.read_bytes() for file in kept.iterdir())
    finally:
        stop(sink_process)
    if len(delivered) < mail.stat().st_size:
        sys.exit("the peer delivered less than it was given")
    if b"DKIM-Signature:" not in delivered or b"a=rsa-sha256" not in delivered:
        sys.exit("the peer delivered a message without a signature")


def one_round(options, mail, peer, smtp, sink):
    sink_process = start_sink(sink, options.messages)
    memory = PeakMemory(peer)
    try:
        machine, own, began = machine_cpu(), tree_cpu(peer), time.monotonic()
        source = smtp_source(mail, options.messages, options.sessions, smtp)
        subprocess.run(source, check=True, timeout=RUN_SECONDS_MAX, stdout=subprocess.DEVNULL)
        accepted = time.monotonic()
        sink_process.wait(RUN_SECONDS_MAX)
        if sink_process.returncode != 0:
            sys.exit(f"the sink ended with status {sink_process.returncode}")
        delivered = time.monotonic()
        machine, own = machine_cpu() - machine, tree_cpu(peer) - own
    finally:
        memory.stop()
        stop(sink_process)
    thousands = options.messages / 1000
    return {
        "accepted_per_s": options.messages / (accepted - began),
        "delivered_per_s": options.messages / (delivered - began),
        "cpu_s_per_1000": machine / thousands,
        "cpu_s_per_1000_peer": own / thousands,
        "peak_pss_mib": memory.peak_mib,
    }


def machine_cpu():
    """Seconds that all cores together have worked, source and sink included; it misses nothing that was short-lived."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def stat_fields(pid):
    """/proc/PID/stat from the state on; the name before it may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(roots):
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            children.setdefault(int(stat_fields(pid)[1]), []).append(int(pid))
        except (OSError, IndexError):
            pass  # it ended while we looked
    found, ahead = [], list(roots)
    while ahead:
        found.append(ahead.pop())
        ahead += children.get(found[-1], [])
    return found


def tree_cpu(roots):
    total = 0
    for pid in tree(roots):
        try:
            total += sum(map(int, stat_fields(pid)[11:15]))  # own and reaped children's, user and system
        except OSError:
            pass  # it ended while we looked
    return total / TICKS


class PeakMemory:
    """Samples the proportional set size of the peer's processes: memory they share counts once."""

    def __init__(self, roots):
        self.peak_mib = 0.0
        self._roots = roots
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self):
        self._over.set()
        self._thread.join()

    def _sample(self):
        while True:
            self.peak_mib = max(self.peak_mib, sum(map(self._pss_kib, tree(self._roots))) / 1024)
            if self._over.wait(SAMPLE_SECONDS):
                return

    @staticmethod
    def _pss_kib(pid):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            return 0  # it ended while we looked
        return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)


main()
