"""The folder that verify-dkim.sh is given: messages, and the one public key record that signs for them."""

from pathlib import Path


class Corpus:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.record = self._text("key.txt")
        self.record_name = f"{self._text('selector')}._domainkey.{self._text('domain')}"
        self.messages = sorted(self.folder.glob("*.eml"))
        for message in self.messages:
            # SMTP ends every message with CRLF (RFC 5321 §4.1.1.4). Without it a file is not what was sent, and the
            # verifiers each repair it in a way of their own.
            if not message.read_bytes().endswith(b"\r\n"):
                raise SystemExit(f"{message} does not end with CRLF: these are not the bytes of a sent message")

    def _text(self, name):
        return (self.folder / name).read_text("ascii").strip()


def report(message, verifier, passed, detail):
    detail = " ".join(str(detail).split())
    print(message.name, verifier, "pass" if passed else "fail", detail, sep="\t", flush=True)


def signature_count(raw):
    """How many DKIM-Signature fields the header has; each of them must verify."""
    header = raw.split(b"\r\n\r\n", 1)[0]
    return sum(line.lower().startswith(b"dkim-signature:") for line in header.split(b"\r\n"))
