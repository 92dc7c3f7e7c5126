#!/usr/bin/env bash
# verify-dkim.sh [--expect-fail] DIR
#
# Holds every DIR/*.eml (raw bytes as sent, CRLF) against the public key in DIR/key.txt (`v=DKIM1; k=rsa; p=…`), served
# as <DIR/selector>._domainkey.<DIR/domain>, with three verifiers that share no code with us or with each other: dkimpy,
# mailauth and OpenDKIM. No DNS is asked. Prints `file<TAB>verifier<TAB>pass|fail<TAB>detail` and, last, a summary.
#
# Exits 0 when every verifier accepts every message; with --expect-fail (tampered copies), when every verifier refuses
# every one. No verdict is excused.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"

expect=pass
if [[ ${1-} == --expect-fail ]]; then
  expect=fail
  shift
fi
(($# == 1)) || die "usage: verify-dkim.sh [--expect-fail] DIR"
dir=$1
for part in key.txt selector domain; do
  [[ -s $dir/$part ]] || die "$dir/$part is missing: the verifiers need the public key record, the selector and the domain"
done
[[ -x $VENV/bin/python && -d $NODE_DEPS/node_modules ]] || die "the verifiers are not installed: run tools/install-test-deps.sh"

# A verifier that dies must fail the run even when what it printed until then looks well.
verdicts=$(mktemp)
trap 'rm -f "$verdicts"' EXIT
here=$ROOT/tools/dkim
{
  "$VENV/bin/python" "$here/dkimpy_verify.py" "$dir"
  "$VENV/bin/python" "$here/opendkim_verify.py" "$dir"
  node "$here/mailauth_verify.mjs" "$dir" "$NODE_DEPS"
} >"$verdicts"
"$VENV/bin/python" "$here/judge.py" --expect "$expect" "$dir" "$verdicts"
