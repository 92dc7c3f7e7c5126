#!/usr/bin/env bash
# Mail through the real server, on both engines, to a farm of mail exchangers on loopback: Postfix, Exim, Dovecot, and receivers that
# misbehave; relays that want a login. Smuggling both ways, and what spam filters think of the mail that the server writes itself. Under
# five minutes, of which two are the wait before a second attempt, and one until a new route is known. Needs root. Words name parts:
# `tools/test-farm.sh smuggle_in scores`.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"
cd "$ROOT"

# The very build that `cargo test` makes, so that nothing is compiled twice with other features.
if [[ -z ${SEALWRIGHT_BIN-} ]]; then cargo test --quiet --locked --workspace --no-run; fi
export CARGO_TARGET_DIR=$TARGET

"$VENV/bin/python" tools/exchangers/run.py "$@"
