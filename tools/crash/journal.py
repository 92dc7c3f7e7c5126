"""A file of JSON lines in which a line counts only once it is on disk.

Whatever happens to the system under test, and even to the harness, a line that was acknowledged can be read again.
Lines that are waiting at the same time share one fsync.
"""

import asyncio
import json
import os


class Journal:
    """Appends lines for one event loop; `append` returns when its line has been synced."""

    def __init__(self, path):
        self._file = open(path, "ab")
        self._waiting = []
        self._flusher = None

    async def append(self, line):
        synced = asyncio.get_running_loop().create_future()
        self._waiting.append((json.dumps(line, separators=(",", ":")).encode() + b"\n", synced))
        if self._flusher is None:
            self._flusher = asyncio.ensure_future(self._flush())
        await synced

    async def _flush(self):
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await loop.run_in_executor(None, self._write, b"".join(line for line, _ in batch))
                for _, synced in batch:
                    synced.set_result(None)
        finally:
            self._flusher = None

    def _write(self, lines):
        self._file.write(lines)
        self._file.flush()
        os.fsync(self._file.fileno())


def read(path):
    """All lines that are whole; the last one may be in the middle of being written."""
    with open(path, "rb") as file:
        return [json.loads(line) for line in file if line.endswith(b"\n")]
