"""Puts Postfix and OpenDKIM through the work that `sealwright bench deliver` does, on this machine.

The same 10 KiB message is given to a private Postfix by smtp-source, signed by OpenDKIM (RSA-2048), queued on disk and
relayed to smtp-sink; each message counts once the sink has it. Everything is on 127.0.0.1, bounded in number and in
time, and ends with the processes it started. Standard output is one JSON object, standard error a line for people.
Needs root, as Postfix does.
"""

import argparse
import ctypes
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
PR_SET_CHILD_SUBREAPER = 36


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--messages", type=int, default=2000, help="how many in each round (2000)")
    options.add_argument("--sessions", type=int, default=20, help="connections that bring them (20)")
    options.add_argument("--rounds", type=int, default=3, help="the median of these is printed (3)")
    options.add_argument("--bytes", type=int, default=SIZE_DEFAULT, help="size of a message (10240)")
    options = options.parse_args()
    require_programs()

    # Signals end the program the ordinary way, so that the peer's processes end with it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))

    # Postfix's master leaves its children to whoever comes next; in a container that may be nobody.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with ExitStack() as cleanup:
        work = work_folder(cleanup)
        smtp, milter, sink = free_ports(3)
        subprocess.run(["bash", HERE / "postfix.sh", work, str(smtp), str(milter), str(sink)], check=True)
        mail = work / "message.eml"
        mail.write_bytes(smtp_source_input(message(options.bytes)))
        peer = start_peer(cleanup, work, smtp, milter)
        check_signature(work, mail, smtp, sink)
        rounds = [one_round(options, mail, peer, smtp, sink) for _ in range(options.rounds)]

    figures = {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}
    figures["n"] = options.messages
    print(json.dumps({"peer": "postfix+opendkim", "rounds": options.rounds, **figures}))
    print(
        f"postfix+opendkim: accepted {figures['accepted_per_s']:.0f}/s, delivered {figures['delivered_per_s']:.0f}/s, "
        f"{figures['cpu_s_per_1000']:.2f} CPU-s per 1,000 (whole machine), peak PSS {figures['peak_pss_mib']:.0f} MiB",
        file=sys.stderr,
    )


def require_programs():
    missing = [name for name in ("postfix", "postconf", "opendkim", "openssl", "smtp-source", "smtp-sink") if not shutil.which(name)]
    if missing:
        sys.exit(f"the peer needs {', '.join(missing)}: run tools/install-test-deps.sh")
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


def start_peer(cleanup, work, smtp, milter):
    daemons = subprocess.check_output(["postconf", "-dh", "daemon_directory"], text=True).strip()
    commands = (
        (milter, ["opendkim", "-f", "-x", work / "opendkim.conf"]),
        # -d keeps the master in the foreground, so that it stays our child.
        (smtp, [f"{daemons}/master", "-c", work / "etc", "-d"]),
    )
    started = []
    for port, command in commands:
        # A session of its own: Postfix's master ends its whole process group when it is told to stop.
        child = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        cleanup.callback(stop, child)
        started.append(child.pid)
        wait_for_port(port, child)
    return started


def wait_for_port(port, child):
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        if child.poll() is not None:
            sys.exit(f"{child.args[0]} ended with status {child.returncode} instead of serving")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{child.args[0]} does not answer on port {port}")


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
    reap_group(child.pid)


def reap_group(group):
    """Waits for what the child started, which became ours when it ended."""
    until = time.monotonic() + STOP_SECONDS_MAX
    while time.monotonic() < until:
        try:
            if os.waitpid(-group, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return
    sys.exit(f"processes of group {group} do not end")


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
    sink_process = start_sink(sink, 1, "-d", f"{kept}/")
    try:
        subprocess.run(smtp_source(mail, 1, 1, smtp), check=True, timeout=START_SECONDS_MAX, stdout=subprocess.DEVNULL)
        sink_process.wait(START_SECONDS_MAX)
        delivered = b"".join(file.read_bytes() for file in kept.iterdir())
    finally:
        stop(sink_process)
    if b"DKIM-Signature:" not in delivered or b"a=rsa-sha256" not in delivered:
        sys.exit("the peer delivered a message without a signature")
    if len(delivered) < mail.stat().st_size:
        sys.exit("the peer delivered less than it was given")


def one_round(options, mail, peer, smtp, sink):
    sink_process = start_sink(sink, options.messages)
    memory = PeakMemory(peer)
    try:
        machine, own, began = machine_cpu(), tree_cpu(peer), time.monotonic()
        source = smtp_source(mail, options.messages, options.sessions, smtp)
        subprocess.run(source, check=True, timeout=RUN_SECONDS_MAX, stdout=subprocess.DEVNULL)
        accepted = time.monotonic()
        sink_process.wait(RUN_SECONDS_MAX)
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
