"""Prints the verifiers' verdicts and decides: judge.py --expect pass|fail DIR VERDICTS.

There is no list of excused messages: the versions that tools/ pins agree with each other on thousands of random bodies,
closing lines of spaces and tabs among them, where older releases of mailauth and of several signers are known to err. A
verifier that differs again one day gets a named entry here, with its reason and the messages it may excuse.
"""

import argparse
import sys
from collections import Counter

from corpus import Corpus

VERIFIERS = {"dkimpy", "mailauth", "opendkim"}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--expect", choices=["pass", "fail"], required=True)
    options.add_argument("dir")
    options.add_argument("verdicts")
    options = options.parse_args()

    corpus = Corpus(options.dir)
    asked = {(message.name, verifier) for message in corpus.messages for verifier in VERIFIERS}
    outcomes = Counter()

    for line in open(options.verdicts, encoding="utf-8"):
        name, verifier, verdict, detail = line.rstrip("\n").split("\t")
        asked.discard((name, verifier))
        outcomes["expected" if verdict == options.expect else "wrong"] += 1
        print(name, verifier, verdict, detail, sep="\t")

    for name, verifier in sorted(asked):
        print(name, verifier, "fail", "gave no verdict", sep="\t")
        outcomes["wrong"] += 1
    sys.stdout.flush()
    print(f"dkim: {outcomes['expected']} passed, {outcomes['wrong']} failed", file=sys.stderr)
    # An empty folder proves nothing, so it is not a success.
    sys.exit(0 if corpus.messages and not outcomes["wrong"] else 1)


main()
