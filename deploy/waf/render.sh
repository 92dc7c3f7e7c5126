#!/usr/bin/env bash
# render.sh SETTINGS FOLDER writes the firewall's configuration into FOLDER, ready to be included by nginx.
#
# Everything in FOLDER is made anew, so changes belong into SETTINGS or into files of your own beside FOLDER.
set -euo pipefail

(($# == 2)) || { echo "usage: render.sh SETTINGS FOLDER" >&2; exit 64; }
from=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=deploy/waf/settings.example
source "$(realpath "$1")"
mkdir -p "$2"
into=$(cd "$2" && pwd)

listen() { # listen "ADDRESS…" PARAMETERS
  local address
  for address in $1; do printf 'listen %s%s; ' "$address" "${2:+ $2}"; done
}

declare -A values=(
  [FOLDER]=$into
  [SERVER_NAME]=$SERVER_NAME
  [TLS_CERT]=$TLS_CERT
  [TLS_KEY]=$TLS_KEY
  [UPSTREAM]=$UPSTREAM
  [UPSTREAM_NAME]=$UPSTREAM_NAME
  [UPSTREAM_CA]=$UPSTREAM_CA
  [UPSTREAM_HTTP]=$UPSTREAM_HTTP
  [ENGINE]=$ENGINE
  [REQUESTS_PER_ADDRESS_MAX]=$REQUESTS_PER_ADDRESS_MAX
  [LOG_FOLDER]=$LOG_FOLDER
  [CRS_FOLDER]=$CRS_FOLDER
  [INCLUDE_LOCAL_RULES]=${LOCAL_RULES:+Include $LOCAL_RULES}
  [LISTEN_HTTP]=$(listen "$HTTP_LISTEN" default_server)
  [LISTEN_HTTPS]=$(listen "$HTTPS_LISTEN" "ssl http2")
  [LISTEN_HTTPS_OTHERS]=$(listen "$HTTPS_LISTEN" "ssl http2 default_server")
)

for file in "$from"/nginx/* "$from"/modsecurity/* "$from"/why.sh; do
  text=$(<"$file")
  for name in "${!values[@]}"; do text=${text//"@$name@"/"${values[$name]}"}; done
  printf '%s\n' "$text" >"$into/${file##*/}"
done
chmod 755 "$into/why.sh"
