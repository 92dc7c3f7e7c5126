"""OpenDKIM's verdict on each message of a corpus.

The daemon's own test mode reads lines as text and lays them out anew, so it does not see the bytes that were sent. This
calls the library below it instead (the one that the daemon verifies with), whose key look-up can read a file.
"""

import ctypes
import sys
import tempfile

from corpus import Corpus, report, signature_count

STAT_OK = 0           # DKIM_STAT_OK
OP_SETOPT = 1         # DKIM_OP_SETOPT
OPTS_QUERYMETHOD = 6  # DKIM_OPTS_QUERYMETHOD
OPTS_QUERYINFO = 7    # DKIM_OPTS_QUERYINFO
QUERY_FILE = 1        # DKIM_QUERY_FILE
SIGFLAG_PASSED = 0x04 # DKIM_SIGFLAG_PASSED
SIGBH_MATCH = 0       # DKIM_SIGBH_MATCH


def load_library():
    lib = ctypes.CDLL("libopendkim.so.11")
    pointer, number = ctypes.c_void_p, ctypes.c_int
    lib.dkim_init.restype = pointer
    lib.dkim_init.argtypes = [pointer, pointer]
    lib.dkim_options.argtypes = [pointer, number, number, pointer, ctypes.c_size_t]
    lib.dkim_verify.restype = pointer
    lib.dkim_verify.argtypes = [pointer, ctypes.c_char_p, pointer, ctypes.POINTER(number)]
    lib.dkim_chunk.argtypes = [pointer, ctypes.c_char_p, ctypes.c_size_t]
    lib.dkim_eom.argtypes = [pointer, ctypes.POINTER(ctypes.c_bool)]
    lib.dkim_getsiglist.argtypes = [pointer, ctypes.POINTER(ctypes.POINTER(pointer)), ctypes.POINTER(number)]
    lib.dkim_sig_process.argtypes = [pointer, pointer]
    lib.dkim_sig_getflags.restype = ctypes.c_uint
    lib.dkim_sig_getflags.argtypes = [pointer]
    lib.dkim_sig_getbh.argtypes = [pointer]
    lib.dkim_sig_geterror.argtypes = [pointer]
    lib.dkim_sig_geterrorstr.restype = ctypes.c_char_p
    lib.dkim_sig_geterrorstr.argtypes = [number]
    lib.dkim_getresultstr.restype = ctypes.c_char_p
    lib.dkim_getresultstr.argtypes = [number]
    lib.dkim_free.argtypes = [pointer]
    return lib


def open_verifier(lib, key_file):
    handle = lib.dkim_init(None, None)
    method = ctypes.c_int(QUERY_FILE)
    path = ctypes.create_string_buffer(key_file.encode())
    for option, value, size in (
        (OPTS_QUERYMETHOD, ctypes.byref(method), ctypes.sizeof(method)),
        (OPTS_QUERYINFO, path, len(key_file.encode())),
    ):
        if lib.dkim_options(handle, OP_SETOPT, option, value, size) != STAT_OK:
            raise SystemExit("OpenDKIM's library does not take its keys from a file")
    return handle


def verdict(lib, handle, raw):
    status = ctypes.c_int()
    message = lib.dkim_verify(handle, b"corpus", None, ctypes.byref(status))
    if not message:
        return False, lib.dkim_getresultstr(status.value).decode()
    try:
        for chunk in (raw, None):
            result = lib.dkim_chunk(message, chunk, len(chunk or b""))
            if result != STAT_OK:
                return False, lib.dkim_getresultstr(result).decode()
        result = lib.dkim_eom(message, None)
        if result != STAT_OK:
            return False, explain(lib, message, result)
        return every_signature(lib, message, signature_count(raw))
    finally:
        lib.dkim_free(message)


def signatures(lib, message):
    found = ctypes.POINTER(ctypes.c_void_p)()
    count = ctypes.c_int()
    if lib.dkim_getsiglist(message, ctypes.byref(found), ctypes.byref(count)) != STAT_OK:
        return []
    return [found[index] for index in range(count.value)]


def explain(lib, message, result):
    words = [lib.dkim_getresultstr(result).decode()]
    for signature in signatures(lib, message):
        words.append((lib.dkim_sig_geterrorstr(lib.dkim_sig_geterror(signature)) or b"").decode())
    return "; ".join(word for word in words if word)


def every_signature(lib, message, expected):
    """The library is content with one good signature; we ask for all of them."""
    passed = 0
    for signature in signatures(lib, message):
        lib.dkim_sig_process(message, signature)
        if lib.dkim_sig_getflags(signature) & SIGFLAG_PASSED and lib.dkim_sig_getbh(signature) == SIGBH_MATCH:
            passed += 1
    return passed == expected and expected > 0, f"{passed} of {expected} valid"


def main():
    corpus = Corpus(sys.argv[1])
    lib = load_library()
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        keys.write(f"{corpus.record_name} {corpus.record}\n")
        keys.flush()
        handle = open_verifier(lib, keys.name)
        for message in corpus.messages:
            report(message, "opendkim", *verdict(lib, handle, message.read_bytes()))


main()
