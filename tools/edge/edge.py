#!/usr/bin/env python3
"""Holds the edge against tools of other makes, and against clients that break the rules by hand.

Each part starts servers of its own on loopback, and ends them. `test-edge.sh` runs all parts; words name some of them:

  .deps/venv/bin/python tools/edge/edge.py floods smuggling

Exit status: 0 when everything held, 1 when something did not, 2 without a verdict.
"""

import resource
import sys
import tempfile
from pathlib import Path

# Starting and ending processes is the same as in the crash tests: `system` is theirs.
sys.path.append(str(Path(__file__).parent.parent / "crash"))

import document
import floods
import idle
import slow
import smuggling
import tls
from system import Certificates, Failed, binary
from verdicts import Verdicts

PARTS = {"document": document, "tls": tls, "smuggling": smuggling, "floods": floods, "slow": slow, "idle": idle}


def main():
    names = sys.argv[1:] or list(PARTS)
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"edge.py: no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    # As many descriptors as we may have: the servers and the attackers inherit it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    verdicts = Verdicts("edge")
    try:
        with tempfile.TemporaryDirectory(prefix="sealwright-edge-") as folder:
            certificates = Certificates(binary(), Path(folder))
            for name in names:
                PARTS[name].judge(verdicts, certificates)
    except Failed as failed:
        print(f"edge.py: no verdict: {failed}", file=sys.stderr)
        return 2
    return verdicts.close()


if __name__ == "__main__":
    sys.exit(main())
