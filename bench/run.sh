#!/usr/bin/env bash
# The three stages of our own benchmark on both engines, and Postfix + OpenDKIM, Haraka and Exim on the same deliveries, on this machine
# in one go. Prints them side by side and keeps the figures as JSON lines in target/bench/.
#
# Figures of different runs do not compare: disks and neighbours change within the hour. The ratios of one run do.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/../tools/paths.sh"
cd "$ROOT"

mkdir -p "$TARGET/bench"
results=$TARGET/bench/$(date -u +%Y-%m-%dT%H%M%SZ).jsonl

cargo build --release --locked -p sealwright
for engine in sqlite postgres; do
  for stage in accept deliver webhook; do
    say "$stage, $engine"
    cargo run --release --locked --quiet -p sealwright -- bench "$stage" --engine "$engine" --json </dev/null | tee -a "$results" >/dev/null
  done
done
# Last, so that their many processes are gone when ours is measured. The table is whole without it, and says so.
peer_missing=
say "the same deliveries by Postfix + OpenDKIM, Haraka and Exim"
python3 bench/peer/run_peer.py </dev/null >>"$results" || peer_missing=yes

python3 bench/table.py "$results"
say "figures kept in $results"
[[ -z $peer_missing ]] || die "not every other mail server could be measured; the reason stands above"
