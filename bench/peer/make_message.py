"""The message that the peer is measured with: make_message.py [BYTES] writes it to standard output.

An HTML order confirmation of 10 KiB unless told otherwise, the size our own benchmark sends, in lines that SMTP allows.
The words vary as those of a real page do, so that no part of the way can profit from repetition; the seed does not, so
that two runs send the same bytes.
"""

import random
import sys

SIZE_DEFAULT = 10 * 1024
LINE_WIDTH = 72
SEED = 6376

HEADER = (
    b"From: Corner Bookshop <orders@shop.example>\r\n"
    b"To: Grace <grace@reader.example>\r\n"
    b"Reply-To: help@shop.example\r\n"
    b"Subject: Your books are on their way\r\n"
    b"Date: Sun, 22 Nov 2026 09:30:00 +0000\r\n"
    b"Message-ID: <order-4711@shop.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 7bit\r\n"
    b"\r\n"
)
WORDS = (
    "<p> </p> <tr> <td> </td> </tr> <strong> </strong> book volume parcel courier arrives Tuesday total quantity price "
    "invoice address street thank you reading again soon href=https://shop.example/o/4711 class=row align=right"
).split()


def message(size):
    choose = random.Random(SEED)
    body = bytearray()
    room = size - len(HEADER)
    while len(body) < room:
        line = []
        while sum(len(word) + 1 for word in line) < LINE_WIDTH:
            line.append(choose.choice(WORDS) + format(choose.randrange(1000), "d"))
        body += " ".join(line).encode() + b"\r\n"
    # Cut to the size asked for, whole with its last line end.
    return HEADER + bytes(body[: room - 2]).rstrip(b"\r\n \t").ljust(room - 2, b".") + b"\r\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(message(int(sys.argv[1]) if len(sys.argv) > 1 else SIZE_DEFAULT))
