#!/usr/bin/env bash
# Kills the server under load and judges from outside what was lost: CRASH_CYCLES times (200) on each engine.
# docs/reliability.md says what it shows and what it found.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"
cd "$ROOT"

cycles=${CRASH_CYCLES:-200}
# The very build that `cargo test` makes, so that nothing is compiled twice with other features.
if [[ -z ${SEALWRIGHT_BIN-} ]]; then cargo test --quiet --locked --workspace --no-run; fi
export CARGO_TARGET_DIR=$TARGET

say "the judge's own tests"
python3 tools/crash/test_judge.py --quiet
python3 tools/crash/crash.py --engine sqlite --cycles "$cycles"
# Where PostgreSQL is killed, each judgement waits out the two minutes of a first retry: one at the end is enough.
python3 tools/crash/crash.py --engine postgres --cycles "$cycles" --kill-postgres --judge-every "$cycles"
# Five failures of PostgreSQL under a server that lives on; deferred mail waits out its two minutes, too.
python3 tools/crash/failures.py --judge-every 5
