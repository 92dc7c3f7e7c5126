#!/usr/bin/env bash
# The Node SDK: built, its types checked, its unit tests, then its tests against a real `sealwright dev`, and the code of
# the promise documents. The webhooks which the first server sent meanwhile are verified by Standard Webhooks' own packages
# and by receivers of other makes.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"
cd "$ROOT/sdk/node"

say "npm ci"
npm ci --silent --no-audit --no-fund
say "types and unit tests"
npm run --silent types
npm run --silent test
say "against a real server"
deliveries=$(mktemp)
trap 'rm -f "$deliveries"' EXIT
# shellcheck disable=SC2016  # expanded by the inner shell, which has the server's CA in its environment
"$ROOT/tools/with-dev-server.sh" bash -euc '
  npm run --silent test:real
  node "$ROOT/tools/record-webhooks.mjs" >"$1"
' bash "$deliveries"
say "the webhooks that this server sent"
"$VENV/bin/python" "$ROOT/tools/verify-webhooks.py" "$deliveries"
node "$ROOT/tools/verify-webhooks.mjs" "$deliveries"
say "the code of the promise documents"
"$ROOT/tools/test-promises.sh"
