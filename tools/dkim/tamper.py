"""Writes tampered copies of a corpus: tamper.py DIR OUT. No verifier may accept one of them.

Three kinds, each a thing that an oversigned relaxed/relaxed signature must notice: a line put into the body, the author
changed, and a second From above the signed one (RFC 6376 §8.15).
"""

import re
import shutil
import sys
from pathlib import Path

from corpus import Corpus


def with_other_body(header, body):
    return header, b"one line more\r\n" + body


def with_other_author(header, body):
    changed, count = re.subn(rb"(?im)^from:", b"From: tampered", header, count=1)
    assert count == 1, "a message without From"
    return changed, body


def with_second_author(header, body):
    return b"From: Mallory <mallory@attacker.example>\r\n" + header, body


def main():
    source, out = Corpus(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for part in ("key.txt", "selector", "domain"):
        shutil.copy(source.folder / part, out / part)
    for message in source.messages:
        header, _, body = message.read_bytes().partition(b"\r\n\r\n")
        for change in (with_other_body, with_other_author, with_second_author):
            copy = b"\r\n\r\n".join(change(header, body))
            (out / f"{message.stem}.{change.__name__}.eml").write_bytes(copy)


main()
