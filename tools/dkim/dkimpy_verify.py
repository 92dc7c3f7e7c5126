"""dkimpy's verdict on each message of a corpus."""

import sys

import dkim

from corpus import Corpus, report, signature_count


def verdict(raw, corpus):
    def record_for(name, timeout=5):
        return corpus.record.encode() if name.rstrip(b".").decode() == corpus.record_name else None

    count = signature_count(raw)
    if count == 0:
        return False, "no signature"
    for index in range(count):
        try:
            if not dkim.DKIM(raw).verify(idx=index, dnsfunc=record_for):
                return False, f"signature {index + 1} does not match"
        # Whatever dkimpy trips over in a message is a verdict on that message; the others still count.
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"
    return True, f"{count} valid"


def main():
    corpus = Corpus(sys.argv[1])
    for message in corpus.messages:
        report(message, "dkimpy", *verdict(message.read_bytes(), corpus))


main()
