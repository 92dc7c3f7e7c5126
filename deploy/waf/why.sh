#!/usr/bin/env bash
# why.sh REQUEST_ID [LOG_FOLDER] says what the firewall's logs know about a request: who, what, and which rules hit.
#
# blocks.log knows no request ids, because ModSecurity is told none. Address, port and second lead there; requests of one
# HTTP/2 connection that were blocked in the same second are all shown.
set -euo pipefail

(($# == 1 || $# == 2)) || { echo "usage: why.sh REQUEST_ID [LOG_FOLDER]" >&2; exit 64; }
logs=${2:-@LOG_FOLDER@}
rules=(@CRS_FOLDER@ @FOLDER@)

request=$(grep -F "\"$1\"" "$logs/access.log" | tail -1) || { echo "no request $1 in $logs/access.log" >&2; exit 1; }
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" <<<"$request"; }
time=$(date -d "$(field time)" +%s) client=$(field client) port=$(field port)
echo "$(field time)  $client  $(field method) $(field path)  $(field status)"

is_explained=
while IFS=$'\t' read -r written address source score hits; do
  [[ $address == "$client" && $source == "$port" ]] || continue
  apart=$(($(date -d "$written" +%s) - time))
  ((apart >= -1 && apart <= 1)) || continue
  is_explained=yes
  echo "$score"
  while read -r id place; do
    # A rule's message stands within a few lines of its number.
    message=$(grep -rhA12 --include='*.conf' "id:$id," "${rules[@]}" | grep -om1 "msg:'[^']*'" || true)
    message=${message#"msg:'"}
    printf '  %s  %s  %s\n' "$id" "$place" "${message%"'"}"
  done <<<"${hits//, /$'\n'}"
done <"$logs/blocks.log"
[[ $is_explained ]] || echo "no rule: nginx refused it by itself (method, host, size, malformed HTTP), or Sealwright answered"
