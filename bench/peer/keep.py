"""keep.py COMMAND…: runs a peer and inherits what it leaves behind.

Mail servers hand deliveries to processes that outlive their parents. Here they come back, so that their time counts as the peer's and
nothing stays behind: this process ends when the last of them has. SIGTERM goes to the command.
"""

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Reaped below with all others; Popen only starts it.
    peer = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: os.kill(peer.pid, signal.SIGTERM))
    status = 0
    while True:
        try:
            pid, ended = os.wait()
        except ChildProcessError:
            sys.exit(status)
        if pid == peer.pid:
            status = os.waitstatus_to_exitcode(ended)
            # A second SIGTERM has nobody to go to.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


main()
