#!/usr/bin/env bash
# Holds the DKIM signatures that the Rust tests made against three verifiers of other makes, and shows that tampered
# copies of the same messages are refused by all three. test-rust.sh runs first and leaves the folders: each
# `dkim*/` in target/cross-checks is one corpus, as verify-dkim.sh describes it. Renders the templates left there with Handlebars, too.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"

MESSAGES_MIN=60  # fewer would mean that a test has stopped leaving its messages

made=$TARGET/cross-checks
shopt -s nullglob
messages=("$made"/dkim*/*.eml)
((${#messages[@]} >= MESSAGES_MIN)) \
  || die "${#messages[@]} signed messages in $made, at least $MESSAGES_MIN expected: run tools/test-rust.sh first"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
for corpus in "$made"/dkim*/; do
  name=$(basename "$corpus")
  say "$name: three verifiers accept every message"
  "$ROOT/tools/verify-dkim.sh" "$corpus" >"$work/verdicts" || { grep -P '\tfail\t' "$work/verdicts" || true; failed=1; }
  say "$name: three verifiers refuse every tampered copy"
  "$VENV/bin/python" "$ROOT/tools/dkim/tamper.py" "$corpus" "$work/$name"
  "$ROOT/tools/verify-dkim.sh" --expect-fail "$work/$name" >"$work/verdicts" || { grep -P '\tpass\t' "$work/verdicts" || true; failed=1; }
done

say "templates: Handlebars writes the common part of the language as we do"
cp "$ROOT/tools/node/templates.mjs" "$work/"
ln -s "$NODE_DEPS/node_modules" "$work/node_modules"
node "$work/templates.mjs" "$made/templates.json" || failed=1
exit "$failed"
