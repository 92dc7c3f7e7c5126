"""What was claimed and whether it held: a line for each claim, a count at the end."""

import sys


class Verdicts:
    def __init__(self, name):
        self._name = name
        self.passed = self.failed = 0

    def part(self, title):
        print(f"\n{title}", flush=True)

    def holds(self, claim, is_true, detail=""):
        """Notes a claim; `detail` is what was seen."""
        if is_true:
            self.passed += 1
        else:
            self.failed += 1
        print(f"  {'ok  ' if is_true else 'FAIL'}  {claim}{f': {detail}' if detail else ''}", flush=True)

    def tell(self, figure):
        """Something seen that is not judged."""
        print(f"        {figure}", flush=True)

    def close(self):
        """The line that CI counts; the exit status."""
        sys.stdout.flush()
        print(f"\n{self._name}: {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0
