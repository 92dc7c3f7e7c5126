#!/usr/bin/env bash
# postfix.sh WORKDIR SMTP_PORT MILTER_PORT SINK_PORT
#
# Lays out a private Postfix and OpenDKIM in WORKDIR, for run_peer.py to start: 127.0.0.1 only, a queue of its own on
# disk, relaxed/relaxed RSA-2048 signatures by a milter before the message is queued, everything relayed to the sink.
# The machine's own Postfix configuration is neither read nor changed.
#
# Settings away from Postfix's defaults are there to let it be fast at this job: no logs, no look-ups, no rate limits,
# connections to the sink kept open, as many processes as two cores can feed. Durability is left as Postfix has it.
set -euo pipefail
work=$1 smtp_port=$2 milter_port=$3 sink_port=$4

mkdir -p "$work"/{etc,queue,data}
chmod 755 "$work"
chown postfix "$work/data"

cat >"$work/etc/main.cf" <<CF
compatibility_level = 3.6
queue_directory = $work/queue
data_directory = $work/data
daemon_directory = $(postconf -dh daemon_directory)
command_directory = $(postconf -dh command_directory)
meta_directory = $(postconf -dh meta_directory)
shlib_directory = $(postconf -dh shlib_directory)
mail_owner = postfix
setgid_group = postdrop

inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = peer.shop.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =

relayhost = [127.0.0.1]:$sink_port
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_peername_lookup = no

smtpd_milters = inet:127.0.0.1:$milter_port
milter_default_action = tempfail

maillog_file =
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
default_process_limit = 100
default_destination_concurrency_limit = 50
initial_destination_concurrency = 20
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = [127.0.0.1]:$sink_port
smtp_connection_reuse_count_limit = 1000
qmgr_message_active_limit = 40000
qmgr_message_recipient_limit = 40000
CF

# Only the services that this job passes through; chroot is off so that no files have to be copied below the queue.
cat >"$work/etc/master.cf" <<CF
127.0.0.1:$smtp_port inet n - n - - smtpd
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
smtp      unix  - - n -     - smtp
relay     unix  - - n -     - smtp
error     unix  - - n -     - error
retry     unix  - - n -     - error
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
CF

openssl genrsa -traditional -out "$work/dkim.pem" 2048 2>/dev/null
chown opendkim "$work/dkim.pem"
chmod 600 "$work/dkim.pem"
# OpenDKIM distrusts keys below a folder like /tmp, where others may write; this key signs nothing but the benchmark.
cat >"$work/opendkim.conf" <<CF
Mode s
Domain shop.example
Selector peer
KeyFile $work/dkim.pem
Canonicalization relaxed/relaxed
Socket inet:$milter_port@127.0.0.1
InternalHosts 127.0.0.0/8
UserID opendkim
RequireSafeKeys no
PidFile $work/data/opendkim.pid
Syslog no
CF

# Makes the queue's folders, with the owners Postfix insists on.
postfix -c "$work/etc" check
