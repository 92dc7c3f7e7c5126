"""Real receivers: Postfix, Exim, and Dovecot's LMTP server behind that Postfix. Each stores what it takes as files.

None reads or changes the machine's configuration. They are set up as their makers ship them where that matters here: what they make of
strange ends of content is what they make of it everywhere.
"""

import email.parser
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections import namedtuple
from pathlib import Path

from names import ADDRESSES, DOVECOT, EXIM, POSTFIX, SECOND_HOST, STORE_ADDRESS
from system import ROOT, Failed, die_with_parent, free_port, wait_until

STOP_SECONDS_MAX = 20
# Owns the mailboxes.
OWNER = "mail"
# Mailboxes that there are. Mail to others is taken and sent back later.
READERS = ("reader", "security")
# What everybody there logs in with.
PASSWORD = "right-for-the-farm"

# One message in a mailbox: the e-mail's id, from its Message-ID; whom it went to and whom it came from; the octets that were sent, and
# those that are stored.
Copy = namedtuple("Copy", "email domain sender content stored")

# The fields that receivers put in front.
TRACE = {"return-path", "x-original-to", "delivered-to", "envelope-to", "delivery-date", "received"}

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
smtp_bind_address = {address}
inet_protocols = ipv4
myhostname = mx.{domain}
mydestination =
mynetworks = {address}/32
alias_maps =
alias_database =
local_recipient_maps =
smtpd_tls_security_level = may
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_peername_lookup = no
smtpd_reject_unlisted_recipient = no
smtpd_client_connection_count_limit = 0
virtual_mailbox_domains = {domain} {second}
virtual_mailbox_base = {folder}
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
relay_domains = {store}
relay_recipient_maps =
lmtp_destination_recipient_limit = 1
transport_maps = texthash:{folder}/etc/transport
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = encrypt
"""
# Who is logged in may send, under TLS only; all ask the mail store for passwords.
POSTFIX_SUBMISSION = """
127.0.0.1:{port} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=dovecot -o smtpd_sasl_path=inet:{store_address}:{store_port}
  -o smtpd_tls_auth_only=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject {more}
"""
SUBMISSION = {
    "plain_only": "-o smtpd_tls_security_level=encrypt -o smtpd_sasl_mechanism_filter=plain",
    "login_only": "-o smtpd_tls_security_level=encrypt -o smtpd_sasl_mechanism_filter=login",
    "implicit": "-o smtpd_tls_wrappermode=yes",
}
# Chroot is off so that no files have to be copied below the queue.
POSTFIX_MASTER = """
{address}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

EXIM_CONFIG = """
exim_path = {program}
keep_environment =
exim_user = {owner}
exim_group = {owner}
never_users =
primary_hostname = mx.{domain}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/pid
daemon_smtp_ports = {port}
local_interfaces = {address}
tls_advertise_hosts = *
tls_certificate = {folder}/cert.pem
tls_privatekey = {folder}/key.pem
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept domains = {domain}
  deny message = relay not permitted
begin routers
back:
  driver = manualroute
  domains = ! {domain}
  route_data = ${{lookup{{$domain}}lsearch{{{folder}/back}}}}
  transport = smtp
  self = send
mailboxes:
  driver = accept
  domains = {domain}
  local_parts = {readers}
  transport = maildir
begin transports
smtp:
  driver = smtp
  port = {port}
  interface = {address}
  hosts_require_tls = *
maildir:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  user = {owner}
  group = {owner}
  envelope_to_add
  delivery_date_add
  return_path_add
begin retry
* * F,1h,1m
"""

DOVECOT_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_location = maildir:{folder}/mail
mail_uid = {owner}
mail_gid = {owner}
hostname = store.{domain}
postmaster_address = postmaster@{domain}
lmtp_hdr_delivery_address = original
passdb {{
  driver = static
  args = password={password}
}}
auth_mechanisms = plain login
service auth {{
  inet_listener {{
    address = {address}
    port = {auth_port}
  }}
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={folder}/mail allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = {address}
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class Receiver:
    """A mail system with one mailbox that takes everything for its domain."""

    def __init__(self, domain, folder):
        self.domain, self.folder = domain, folder
        folder.mkdir()
        folder.chmod(0o755)
        self._mailbox = folder / "mail"
        self._mailbox.mkdir()
        shutil.chown(self._mailbox, OWNER, OWNER)
        self._process, self._read = None, {}

    def _launch(self, command, address, port):
        with open(self.folder / "output", "ab") as log:
            # A group of its own: some of them end their whole group with themselves.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent, start_new_session=True
            )
        wait_until(lambda: is_open(address, port), self._process, type(self).__name__)

    def copies(self):
        """Everything that it has stored, in the order in which it was seen here."""
        for path in sorted(self._mailbox.glob("new/*")):
            if path not in self._read:
                self._read[path] = copy_of(path.read_bytes(), self.domain)
        return list(self._read.values())

    def stop(self):
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise Failed(f"{type(self).__name__} did not end") from None


class Postfix(Receiver):
    """Takes mail for its own domain and for that of the mail store behind it, and sends back what it can't deliver."""

    def __init__(self, folder, certificates, port, houses, store):
        super().__init__(POSTFIX, folder)
        address, owner = ADDRESSES[POSTFIX], pwd.getpwnam(OWNER)
        for name in ("etc", "queue", "data"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        main = POSTFIX_MAIN.format(
            folder=folder, address=address, domain=POSTFIX, second=SECOND_HOST, store=DOVECOT, cert=certificates.cert, key=certificates.key,
            uid=owner.pw_uid, gid=owner.pw_gid,
        )
        for name in ("daemon_directory", "command_directory", "meta_directory", "shlib_directory"):
            main += f"{name} = {said('postconf', '-dh', name)}\n"
        (folder / "etc/main.cf").write_text(main)
        self.submission = {name: free_port() for name in SUBMISSION}
        services = [POSTFIX_MASTER.format(address=address, port=port)]
        services += [
            POSTFIX_SUBMISSION.format(port=self.submission[name], store_address=STORE_ADDRESS, store_port=store.auth_port, more=more)
            for name, more in SUBMISSION.items()
        ]
        (folder / "etc/master.cf").write_text("".join(services))
        readers = [f"{reader}@{domain}" for reader in READERS for domain in (POSTFIX, SECOND_HOST)]
        (folder / "etc/mailboxes").write_text("".join(f"{reader} mail/\n" for reader in readers))
        routes = {DOVECOT: f"lmtp:inet:{STORE_ADDRESS}:{store.port}"}
        routes |= {f"bounce.{house.domain}": f"smtp:[{house.address}]:{port}" for house in houses}
        (folder / "etc/transport").write_text("".join(f"{domain} {route}\n" for domain, route in routes.items()))
        # Makes the queue's folders, with the owners that it insists on.
        said("postfix", "-c", folder / "etc", "check")
        master = Path(said("postconf", "-dh", "daemon_directory")) / "master"
        self._launch([master, "-c", folder / "etc", "-d"], address, port)


class Exim(Receiver):
    """Unpacked, not installed; see tools/install-test-deps.sh."""

    def __init__(self, folder, certificates, port, houses):
        super().__init__(EXIM, folder)
        program, address = ROOT / ".deps/exim/usr/sbin/exim4", ADDRESSES[EXIM]
        (folder / "spool").mkdir()
        shutil.copy(certificates.cert, folder / "cert.pem")
        shutil.copy(certificates.key, folder / "key.pem")
        for name in (".", "spool", "cert.pem", "key.pem"):
            shutil.chown(folder / name, OWNER, OWNER)
        (folder / "back").write_text("".join(f"bounce.{house.domain}: {house.address}\n" for house in houses))
        config = folder / "exim.conf"
        config.write_text(EXIM_CONFIG.format(
            program=program, owner=OWNER, domain=EXIM, folder=folder, port=port, address=address, readers=":".join(READERS)
        ))
        self._launch(self._beside_its_user(folder, [program, "-C", config, "-bdf"]), address, port)

    @staticmethod
    def _beside_its_user(folder, command):
        """Debian's Exim starts only where a user Debian-exim exists. It does in a mount namespace of this one process."""
        owner = pwd.getpwnam(OWNER)
        (folder / "passwd").write_text(
            Path("/etc/passwd").read_text() + f"Debian-exim:x:{owner.pw_uid}:{owner.pw_gid}::/nonexistent:/bin/false\n"
        )
        (folder / "group").write_text(Path("/etc/group").read_text() + f"Debian-exim:x:{grp.getgrnam(OWNER).gr_gid}:\n")
        mounts = f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group"
        return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *command]


class Dovecot(Receiver):
    """A mail store that is reached by LMTP only, so another mail system stands before it."""

    def __init__(self, folder):
        super().__init__(DOVECOT, folder)
        self.port, self.auth_port = free_port(), free_port()
        config = folder / "dovecot.conf"
        config.write_text(DOVECOT_CONFIG.format(
            folder=folder, owner=OWNER, domain=DOVECOT, address=STORE_ADDRESS, port=self.port, auth_port=self.auth_port,
            password=PASSWORD,
        ))
        self._launch(["dovecot", "-F", "-c", config], STORE_ADDRESS, self.port)


def copy_of(stored, domain):
    """A stored message, without the fields that the receiver put in front, with the line ends of the wire."""
    fields = email.parser.BytesHeaderParser().parsebytes(stored)
    content = b"\r\n".join(stored.split(b"\n"))
    while content.partition(b":")[0].decode("latin-1").lower() in TRACE:
        content = content.partition(b"\r\n")[2]
        while content[:1] in (b" ", b"\t"):
            content = content.partition(b"\r\n")[2]
    return Copy(id_of(fields["Message-ID"]), domain, (fields["Return-Path"] or "").strip("<> "), content, stored)


def id_of(message_id):
    """The Message-ID is made of the e-mail's id."""
    return (message_id or "").strip("<> ").partition("@")[0]


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def is_open(address, port):
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0
