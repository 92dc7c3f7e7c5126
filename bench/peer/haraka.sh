#!/usr/bin/env bash
# haraka.sh WORKDIR SMTP_PORT - SINK_PORT
#
# Lays out a Haraka in WORKDIR, for run_peer.py to start: 127.0.0.1 only, one process for each core, relaxed/relaxed RSA-2048
# signatures by its own plugin before the message is queued, everything relayed to the sink. The packages are those of haraka/ beside
# this file. Haraka writes its queue to files and does not sync them: what it has accepted does not survive a power cut.
set -euo pipefail
work=$1 smtp_port=$2 sink_port=$4

mkdir -p "$work"/{config/dkim/shop.example,plugins,queue}
chmod 755 "$work"
cat >"$work/config/smtp.ini" <<INI
listen=127.0.0.1:$smtp_port
nodes=$(nproc)
INI
printf 'peer\ndkim\n' >"$work/config/plugins"
# Without the package's own it does not know how to greet.
cp "$HARAKA/config/connection.ini" "$work/config/"
cat >"$work/config/outbound.ini" <<INI
enable_tls=false
concurrency_max=100
local_mx_ok=true
INI
cat >"$work/config/dkim.ini" <<INI
[sign]
enabled=true
[canon]
body=relaxed
[verify]
enabled=false
INI
printf '[main]\nlevel=ERROR\n' >"$work/config/log.ini"
echo peer.shop.example >"$work/config/me"

cat >"$work/plugins/peer.js" <<JS
// Whoever connects may relay, and everything goes to the sink.
exports.register = function () {
  this.register_hook('connect', 'welcome');
  this.register_hook('rcpt', 'take');
  this.register_hook('get_mx', 'sink');
};
exports.welcome = (next, connection) => { connection.relaying = true; next(); };
exports.take = (next) => next(OK);
exports.sink = (next) => next(OK, { priority: 0, exchange: '127.0.0.1', port: $sink_port });
JS

openssl genrsa -traditional -out "$work/config/dkim/shop.example/private" 2048 2>/dev/null
echo peer >"$work/config/dkim/shop.example/selector"
