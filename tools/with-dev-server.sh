#!/usr/bin/env bash
# with-dev-server.sh COMMAND… runs a command beside a fresh `sealwright dev`, and ends the server after it.
#
# The command finds what the server wrote when it was ready in the file SEALWRIGHT_READY_FILE, and trusts its CA if it is
# a Node program. Fails when the command does, and when the server does not start or does not stop as it should.
set -euo pipefail
# shellcheck source=tools/paths.sh
source "$(dirname "$0")/paths.sh"
(($# > 0)) || die "usage: with-dev-server.sh COMMAND…"

START_SECONDS_MAX=60
STOP_SECONDS_MAX=30

work=$(mktemp -d)
server=
end_server() {
  if [[ -n $server ]] && kill -0 "$server" 2>/dev/null; then kill -KILL "$server"; fi
  rm -rf "$work"
}
trap end_server EXIT
trap 'exit 130' INT TERM

show_log_and_die() {
  sed 's/^/    /' "$work/log" >&2
  die "$@"
}

# The very build that `cargo test` makes, so that nothing is compiled twice with other features.
(cd "$ROOT" && cargo test --quiet --locked --workspace --no-run)
# The server refuses settings that it does not know, and the folder of the promise documents is none of its own.
env -u SEALWRIGHT_PROMISES \
  "$TARGET/debug/sealwright" dev --data "$work/data" --listen 127.0.0.1:0 --ready-file "$work/ready.json" >"$work/log" 2>&1 </dev/null &
server=$!
for ((waited = 0; ; waited++)); do
  [[ ! -s $work/ready.json ]] || break
  kill -0 "$server" 2>/dev/null || show_log_and_die "sealwright dev ended instead of serving; it said:"
  ((waited < START_SECONDS_MAX * 10)) || show_log_and_die "sealwright dev was not ready after $START_SECONDS_MAX seconds; it said:"
  sleep 0.1
done

export SEALWRIGHT_READY_FILE=$work/ready.json
NODE_EXTRA_CA_CERTS=$(node -p 'JSON.parse(require("fs").readFileSync(process.env.SEALWRIGHT_READY_FILE)).caCert')
export NODE_EXTRA_CA_CERTS

status=0
"$@" || status=$?

kill -0 "$server" 2>/dev/null || show_log_and_die "sealwright dev did not live as long as the command; it said:"
kill -TERM "$server"
for ((waited = 0; waited < STOP_SECONDS_MAX * 10; waited++)); do
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
! kill -0 "$server" 2>/dev/null || show_log_and_die "sealwright dev still ran $STOP_SECONDS_MAX seconds after it was told to stop; it said:"
stopped=0
wait "$server" || stopped=$?
((status == 0)) || exit "$status"
((stopped == 0)) || show_log_and_die "sealwright dev stopped with status $stopped; it said:"
