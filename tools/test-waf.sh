#!/usr/bin/env bash
# The shipped firewall (deploy/waf) before a real `sealwright dev`: attacks are blocked, good mail passes, the logs keep
# still. Starts a server unless with-dev-server.sh has.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"

check=(python3 "$ROOT/tools/waf/check.py")
if [[ -n ${SEALWRIGHT_READY_FILE-} ]]; then exec "${check[@]}"; fi

# Settings that the server knows only from some version on, and refuses before.
(cd "$ROOT" && cargo test --quiet --locked --workspace --no-run)
reference=$("$TARGET/debug/sealwright" config reference)
if [[ $reference == *SEALWRIGHT_SERVER_TRUSTED_PROXIES* ]]; then export SEALWRIGHT_SERVER_TRUSTED_PROXIES=127.0.0.1/32; fi
if [[ $reference == *SEALWRIGHT_SERVER_HTTP_LISTEN* ]]; then
  SEALWRIGHT_SERVER_HTTP_LISTEN=127.0.0.1:$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
  export SEALWRIGHT_SERVER_HTTP_LISTEN
fi
"$ROOT/tools/with-dev-server.sh" "${check[@]}"
