#!/usr/bin/env bash
# Runs each code snippet of the promise documents as it is written there: under the name that they import, which the packed
# SDK is installed as, and against a real server. Starts one unless with-dev-server.sh has.
#
# The documents are not part of this repository. They lie in the folder SEALWRIGHT_PROMISES, or beside the checkout. CI
# fails without them; elsewhere it is said that they are missing, and nothing is run.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"

SEALWRIGHT_PROMISES=${SEALWRIGHT_PROMISES:-$ROOT/../shared/promises}
if ! compgen -G "$SEALWRIGHT_PROMISES/*.txt" >/dev/null; then
  [[ ${CI-} != true ]] || die "no promise documents in $SEALWRIGHT_PROMISES; set SEALWRIGHT_PROMISES to their folder"
  say "*** NOT RUN: no promise documents in $SEALWRIGHT_PROMISES; set SEALWRIGHT_PROMISES to their folder ***"
  exit 0
fi

# Installed before the server starts, whose CA then takes the place of one that this machine may need for its registry.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$ROOT/sdk/node"
cp -R test/promises/project "$work/project"
npm pack --silent --pack-destination "$work" >/dev/null
mv "$work"/sealwright-*.tgz "$work/project/sealwright.tgz"
(cd "$work/project" && npm ci --silent --ignore-scripts --no-audit --no-fund)

beside=()
if [[ -z ${SEALWRIGHT_READY_FILE-} ]]; then beside=("$ROOT/tools/with-dev-server.sh"); fi
export SEALWRIGHT_PROMISES
export PROMISES_PROJECT=$work/project
"${beside[@]}" node --test test/promises/promises.test.js
