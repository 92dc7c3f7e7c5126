"""The other half of powercut.c: builds it, and plays its journals backwards when the process was killed."""

import os
import struct
import subprocess
from pathlib import Path

from system import Failed

ENTRY = struct.Struct("=qqq")


class PowerCut:
    """What a process has to be started with so that its databases lose with it whatever was not synced."""

    def __init__(self, folder, lies):
        self._journals = folder / "powercut"
        self._journals.mkdir()
        self._library, self._lies = folder / "powercut.so", lies
        self.undone = 0
        source = Path(__file__).with_suffix(".c")
        command = ["cc", "-O2", "-Wall", "-Werror", "-fPIC", "-shared", "-o", self._library, source, "-ldl", "-pthread"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"cc: {done.stderr.strip()}")

    def environment(self):
        lies = {"POWERCUT_LIES": "1"} if self._lies else {}
        return {"LD_PRELOAD": str(self._library), "POWERCUT_DIR": str(self._journals), **lies}

    def strike(self, store):
        """Undoes what was written since the last sync of each file. The index of the log is memory, and gone."""
        for journal in self._journals.glob("*.undo"):
            entries = list(read(journal.read_bytes()))
            path = store / journal.name.removesuffix(".undo")
            if entries and path.exists():
                with open(path, "r+b") as file:
                    for offset, size, bytes_there in reversed(entries):
                        file.seek(offset)
                        file.write(bytes_there)
                        file.truncate(size)
                    os.fsync(file.fileno())
                self.undone += len(entries)
            journal.unlink()
        for index in store.glob("*.db-shm"):
            index.unlink()


def read(journal):
    """Entries in the order in which they were written: (offset, size of the file, bytes that stood there)."""
    at = 0
    while at + ENTRY.size <= len(journal):
        offset, length, size = ENTRY.unpack_from(journal, at)
        at += ENTRY.size
        if at + length > len(journal):
            return
        yield offset, size, journal[at:at + length]
        at += length
