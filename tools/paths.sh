# Sourced by the scripts of tools/ and bench/: where the checkout and its private test dependencies are.
# shellcheck shell=bash
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=$ROOT/.deps
VENV=$DEPS/venv
NODE_DEPS=$DEPS/node
# One Cargo target directory for everything, also when the caller has chosen another place for it.
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
# Debian keeps PostgreSQL's server programs in a folder per major version, outside PATH; the newest one counts.
POSTGRES_BIN=$(find /usr/lib/postgresql -maxdepth 3 -path '*/bin/initdb' -printf '%h\n' 2>/dev/null | sort -V | tail -1)
# And daemons in sbin folders, which an ordinary user's PATH may leave out.
PATH=$DEPS/bin:$DEPS/cargo/bin:${POSTGRES_BIN:+$POSTGRES_BIN:}$PATH:/usr/local/sbin:/usr/sbin:/sbin
export ROOT DEPS VENV NODE_DEPS TARGET POSTGRES_BIN PATH

# The browser of the tests: any Chromium; CHROMIUM names one that is not in PATH.
find_chromium() { printf '%s\n' "${CHROMIUM-}" | grep . || command -v chromium-headless-shell || command -v chromium || command -v google-chrome; }

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "$*"
  exit 1
}
