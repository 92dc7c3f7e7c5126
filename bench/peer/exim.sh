#!/usr/bin/env bash
# exim.sh WORKDIR SMTP_PORT - SINK_PORT
#
# Lays out an Exim in WORKDIR, for run_peer.py to start: 127.0.0.1 only, a spool of its own on disk, relaxed/relaxed RSA-2048 signatures
# by its transport, everything relayed to the sink. Debian's package is unpacked, not installed: it can't stand beside Postfix. Its
# program starts only where a user Debian-exim exists; passwd and group are copies that have one, for a mount namespace of its own.
#
# Settings away from Exim's defaults are there to let it be fast at this job: no look-ups, no limits, connections to the sink kept for
# further messages, a split spool. Durability is left as Exim has it.
set -euo pipefail
work=$1 smtp_port=$2 sink_port=$4
owner=mail

mkdir -p "$work"/{spool,log}
chmod 755 "$work"
openssl genrsa -traditional -out "$work/dkim.pem" 2048 2>/dev/null
cat >"$work/exim.conf" <<CONF
exim_path = $EXIM
keep_environment =
exim_user = $owner
exim_group = $owner
primary_hostname = peer.shop.example
spool_directory = $work/spool
log_file_path = $work/log/%slog
pid_file_path = $work/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = $smtp_port
disable_ipv6
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
dkim_verify_signers =
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 128
remote_max_parallel = 20
split_spool_directory
acl_smtp_rcpt = take
begin acl
take:
  accept
begin routers
sink:
  driver = manualroute
  domains = *
  route_list = * 127.0.0.1
  self = send
  transport = sink
begin transports
sink:
  driver = smtp
  port = $sink_port
  allow_localhost
  connection_max_messages = 500
  dkim_domain = shop.example
  dkim_selector = peer
  dkim_private_key = $work/dkim.pem
  dkim_canon = relaxed
begin retry
* * F,1h,1m
CONF

ids=$(id -u $owner):$(id -g $owner)
{ cat /etc/passwd; echo "Debian-exim:x:$ids::/nonexistent:/bin/false"; } >"$work/passwd"
{ cat /etc/group; echo "Debian-exim:x:${ids#*:}:"; } >"$work/group"
# Its settings stay root's: it takes no others.
chown $owner:$owner "$work" "$work"/{spool,log,dkim.pem}
