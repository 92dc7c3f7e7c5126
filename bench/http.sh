#!/usr/bin/env bash
# http.sh URL KEY: requests a second, and the 99th percentile of the waits, for `GET /v1/me` of a server that runs already.
#
# h2load asks over HTTP/2, wrk over HTTP/1.1, each with 64 connections (what one network may have) for BENCH_SECONDS (10).
# The key's organization needs a high rate, or refusals are measured:
#
#   sealwright org create Bench --plan enterprise --rate 1000000
#   sealwright key create bench --org org_… --permission emails:read
#
# Nothing is built here, and nothing sent to a server on another machine. Figures of a debug build mean nothing.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/../tools/paths.sh"
(($# == 2)) || die "usage: http.sh https://127.0.0.1:PORT KEY"

CONNECTIONS=64
seconds=${BENCH_SECONDS:-10}
url=${1%/}/v1/me
key=$2
[[ $url =~ ^https://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?/ ]] || die "only a server on this machine is measured, by HTTPS"
for tool in h2load wrk; do command -v "$tool" >/dev/null || die "$tool is missing: run tools/install-test-deps.sh"; done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
threads=$(nproc)

row() { printf '%-22s %12s %10s\n' "$@"; }

# h2load prints no percentiles; its log has a line for each request: start, status, microseconds.
over_http2() {
  h2load -c "$CONNECTIONS" -t "$threads" -D "$seconds" -H "Authorization: Bearer $key" --log-file="$work/log" "$url" >"$work/h2load"
  [[ $(cut -f2 "$work/log" | sort -u) == 200 ]] || die "not every answer was 200: $(grep '^status codes' "$work/h2load")"
  cut -f3 "$work/log" | sort -n >"$work/waits"
  local count p99
  count=$(wc -l <"$work/waits")
  p99=$(sed -n "$(((count * 99 + 99) / 100))p" "$work/waits")
  row "HTTP/2 (h2load)" "$((count / seconds))" "$(awk -v us="$p99" 'BEGIN { printf "%.2f ms", us / 1000 }')"
}

over_http1() {
  wrk -c "$CONNECTIONS" -t "$threads" -d "${seconds}s" --latency -H "Authorization: Bearer $key" "$url" >"$work/wrk"
  ! grep -E 'Non-2xx|Socket errors' "$work/wrk" >&2 || die "not every request was answered 200"
  row "HTTP/1.1 (wrk)" "$(awk '/^Requests\/sec/ { printf "%d", $2 }' "$work/wrk")" "$(awk '$1 == "99%" { print $2 }' "$work/wrk")"
}

row "GET /v1/me" "requests/s" "p99"
over_http2
# Until the server has let go of the connections that were just closed: one network may have no more than these.
sleep 1
over_http1
