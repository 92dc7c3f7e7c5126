#!/usr/bin/env bash
# Kills the server under load and judges from outside what was lost: CRASH_CYCLES times (200) on each engine.
# docs/reliability.md says what it shows and what it found.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"
cd "$ROOT"

cycles=${CRASH_CYCLES:-200}
lies=$(mktemp -d)
trap 'rm -rf "$lies"' EXIT
# The very build that `cargo test` makes, so that nothing is compiled twice with other features.
if [[ -z ${SEALWRIGHT_BIN-} ]]; then cargo test --quiet --locked --workspace --no-run; fi
export CARGO_TARGET_DIR=$TARGET

say "the judge's own tests"
python3 tools/crash/test_judge.py --quiet
python3 tools/crash/crash.py --engine sqlite --cycles "$cycles"
# The same with a power cut instead of a kill; and a disk that lies about its syncs has to be found, or this could find nothing.
python3 tools/crash/crash.py --engine sqlite --cycles 50 --power-cut
# Now and then it leaves nothing that a server could go on with, which is no verdict (2).
for _ in 1 2 3; do
  status=0
  python3 tools/crash/crash.py --engine sqlite --cycles 2 --lying-disk --work "$lies" >"$lies/said" 2>&1 || status=$?
  ((status == 2)) || break
done
((status == 1)) || die "a disk whose sync does nothing was not found: $(tail -n 3 "$lies/said")"
# Where PostgreSQL is killed, each judgement waits out the two minutes of a first retry: one at the end is enough.
python3 tools/crash/crash.py --engine postgres --cycles "$cycles" --kill-postgres --judge-every "$cycles"
# Five failures of PostgreSQL under a server that lives on; deferred mail waits out its two minutes, too.
python3 tools/crash/failures.py --judge-every 5
