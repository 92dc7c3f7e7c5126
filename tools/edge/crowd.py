"""Many connections that ask once and then say nothing, as a process: crowd.py PORT CA KEY COUNT.

They come from as many addresses of 127.0.0.0/8 as it takes for 50 from each. When all are there it prints how many that are; it keeps them
until its standard input ends.
"""

import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

PER_ADDRESS = 50
AT_ONCE = 8


def main():
    port, authority, key, count = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["http/1.1"])
    request = f"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()

    def join(number):
        address = number // PER_ADDRESS
        try:
            plain = socket.create_connection(
                ("127.0.0.1", port), timeout=10, source_address=(f"127.1.{address // 250}.{address % 250 + 1}", 0)
            )
            member = context.wrap_socket(plain, server_hostname="localhost")
            member.sendall(request)
            return member if member.recv(4096).startswith(b"HTTP/1.1 200 ") else None
        except OSError:
            return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        members = [member for member in pool.map(join, range(count)) if member is not None]
    print(len(members), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
