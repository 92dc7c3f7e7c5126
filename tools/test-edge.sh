#!/usr/bin/env bash
# The edge against tools of other makes and clients that break the rules: schemathesis, sslyze, slowhttptest, nginx, floods
# on HTTP/2, request smuggling, ten thousand idle connections. Only loopback, all of it bounded, under four minutes.
# docs/edge.md says what it shows; words name parts: `tools/test-edge.sh tls floods`.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"
cd "$ROOT"

# The very build that `cargo test` makes, so that nothing is compiled twice with other features.
if [[ -z ${SEALWRIGHT_BIN-} ]]; then cargo test --quiet --locked --workspace --no-run; fi
export CARGO_TARGET_DIR=$TARGET

"$VENV/bin/python" tools/edge/edge.py "$@"
