#!/usr/bin/env bash
# Pages of a listed and of another origin call a real `sealwright dev` from a real Chromium: with a session, with a key, with
# nothing. Starts a server unless with-dev-server.sh has.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"

CHROMIUM=$(find_chromium) || die "there is no Chromium: run tools/install-test-deps.sh, or set CHROMIUM"
export CHROMIUM
beside=()
if [[ -z ${SEALWRIGHT_READY_FILE-} ]]; then beside=("$ROOT/tools/with-dev-server.sh"); fi
"${beside[@]}" node "$ROOT/tools/browser/cors.mjs"
