//! Settings: one TOML file, `SEALWRIGHT_*` in the environment, flags; each later one wins.
//!
//! A setting is declared once, in [`settings!`] below: its doc comment is the manual, its key and its variable are derived from its
//! place (`[delivery] ehlo_name` is `SEALWRIGHT_DELIVERY_EHLO_NAME`). Unknown settings are refused by name. A setting that is a
//! [`Secret`] may be read from a file: `…_FILE` in the environment, `…_file` in TOML.

mod read;

pub use read::{ConfigError, Settings, reference};

use crate::secret::Secret;
use ipnet::IpNet;
use read::{FromSetting, Reader, Section, Setting};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])*
        [$section:ident] $section_type:ident {
            $( $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal, )*
        }
    )*) => {
        /// All settings.
        #[derive(Debug, Clone)]
        pub struct Config {
            $( $(#[doc = $section_doc])* pub $section: $section_type, )*
        }

        $(
            $(#[doc = $section_doc])*
            #[derive(Debug, Clone)]
            pub struct $section_type {
                $( $(#[doc = $doc])* pub $name: $type, )*
            }
        )*

        impl Config {
            fn read(from: &Reader<'_>) -> Result<Self, ConfigError> {
                Ok(Self {
                    $( $section: $section_type {
                        $( $name: from.setting(stringify!($section), stringify!($name), $default)?, )*
                    }, )*
                })
            }
        }

        const SECTIONS: &[Section] = &[
            $( Section {
                name: stringify!($section),
                doc: concat!($($section_doc, "\n"),*),
                settings: &[ $( Setting {
                    section: stringify!($section),
                    name: stringify!($name),
                    doc: concat!($($doc, "\n"),*),
                    default: $default,
                    kind: <$type as FromSetting>::KIND,
                    is_secret: <$type as FromSetting>::IS_SECRET,
                }, )* ],
            }, )*
        ];
    };
}

settings! {
    /// Where requests come in.
    [server] Server {
        /// Address and port of the HTTPS listener.
        listen: SocketAddr = "127.0.0.1:8443",
        /// Certificate chain (PEM), read again when the file changes and on SIGHUP; a pair that can't be used leaves the old one in
        /// place. Without it and without `acme.names`, `serve` refuses to start: the API is never served without TLS. `sealwright
        /// dev` makes a local authority of its own.
        tls_cert: Option<PathBuf> = "",
        /// Private key of the certificate (PEM).
        tls_key: Option<PathBuf> = "",
        /// Oldest TLS version that clients may use: `1.3`, or `1.2` (then only forward-secret AEAD suites). 1.2 weakens the promise
        /// that all traffic uses TLS 1.3.
        tls_min: String = "1.3",
        /// Connections open at once. When there are as many, a client whose network holds less than its share gets in for an idle
        /// connection of the network that holds most; others are closed at once.
        connections_max: usize = "10000",
        /// Connections of one network (an IPv4 address, an IPv6 /64) at once; further ones are closed at once. Trusted proxies are
        /// not counted.
        connections_per_network_max: usize = "64",
        /// Requests under way at once; further ones are answered 503 `overloaded`. A network may have as many as are still free, so
        /// one alone gets half of them.
        requests_max: usize = "2048",
        /// Address and port of a plain HTTP listener (port 80). It never redirects: it answers 403 `https_required`, and the
        /// challenges of a certificate authority. Empty turns it off; clients then find the port closed.
        http_listen: Option<SocketAddr> = "",
        /// Every connection to the HTTPS and the plain listener begins with a PROXY protocol header (version 1 or 2) from one of
        /// `trusted_proxies`; connections from elsewhere, or without a good header, are closed.
        proxy_protocol: bool = "false",
        /// Networks of proxies (CIDR, separated by commas) that are believed about their clients: in a PROXY header if
        /// `proxy_protocol` is on, and in `Forwarded` or `X-Forwarded-For`. Whoever sends from there chooses the address that limits
        /// and address lists of keys apply to, so name single hosts rather than networks.
        trusted_proxies: Vec<IpNet> = "",
        /// Address and port of the metrics and health listener: plain HTTP, for the operator's own network only. Empty turns it
        /// off; `/healthz` and `/readyz` are also served on the HTTPS listener, `/metrics` is not.
        admin_listen: Option<SocketAddr> = "",
        /// How long a stopping process waits for requests and deliveries under way before it leaves them to others, in seconds.
        stop_timeout_s: u64 = "20",
    }
    /// Certificates from an authority that speaks ACME (RFC 8555).
    [acme] Acme {
        /// Host names of the certificate, separated by commas. Empty turns ACME off; otherwise `server.tls_cert` and
        /// `server.tls_key` must be empty.
        names: Vec<String> = "",
        /// URL of the authority's directory.
        directory: Option<String> = "",
        /// Agreement to the authority's terms of service; nothing is asked for without it.
        terms_accepted: bool = "false",
        /// E-mail address for the authority's notices.
        contact: Option<String> = "",
        /// How the names are proven: `tls-alpn-01` on the HTTPS listener (it must be reachable on port 443), or `http-01` on
        /// `server.http_listen` (port 80).
        challenge: String = "tls-alpn-01",
        /// Further certificate authorities (PEM) for the directory itself: for a private authority.
        ca: Option<PathBuf> = "",
    }
    /// Where rows are kept.
    [store] StoreSettings {
        /// Folder of the embedded store: `data.db`, `keyring.db` and, unless set elsewhere, `root.key`.
        data_dir: PathBuf = "sealwright-data",
        /// PostgreSQL connection string of the runtime login; empty uses the embedded SQLite. The login must be a member of the
        /// roles `sealwright_app` and `sealwright_system` and should own nothing.
        postgres_url: Option<Secret<String>> = "",
        /// PostgreSQL connection string of the schema's owner, used only to migrate; the runtime login when empty.
        postgres_owner_url: Option<Secret<String>> = "",
        /// PostgreSQL connections that write. Units of work share commits on each; more than 16 do not help.
        postgres_lanes: usize = "4",
        /// Migrate the schema when the process starts. Turn it off where only the owner may change the schema, and run
        /// `sealwright migrate` there.
        migrate_on_start: bool = "true",
    }
    /// How values are sealed.
    [vault] VaultSettings {
        /// File of the root key (mode 0600); `root.key` in the data folder when empty. Whoever loses it loses everything that was sealed;
        /// keep a copy apart from the store's backups.
        root_key: Option<PathBuf> = "",
        /// Region of this installation, bound into everything that is sealed: values do not open in another region.
        region: String = "us",
    }
    /// How mail leaves.
    [delivery] Delivery {
        /// Name said in EHLO; should resolve to the sending address and back. The machine's host name when empty.
        ehlo_name: Option<String> = "",
        /// Send everything to this host and port instead of looking up the recipients' MX: a smart host, or a sink during development.
        static_route: Option<SocketAddr> = "",
        /// Port of receiving hosts. 25 in the world; other values are for test networks.
        port: u16 = "25",
        /// Source address of outgoing SMTP connections; the system's choice when empty.
        source_address: Option<IpAddr> = "",
        /// File with a table of source addresses, in place of `source_address`: which mail leaves from which, and which of them are new
        /// (docs/queue.md, *Source addresses*).
        sources: Option<PathBuf> = "",
        /// Deliveries under way at once in this process.
        concurrency_max: usize = "512",
        /// Deliveries under way to one destination at once in this process. It begins with a few, and grows while mail is taken; a
        /// destination that asks for less gets less.
        destination_concurrency_max: usize = "64",
        /// File with the operator's own table of mailbox providers, over the one that is built in (docs/queue.md, *Providers*).
        providers: Option<PathBuf> = "",
        /// SMTP connections to one receiving host at once from this process.
        connections_per_host_max: usize = "16",
        /// TLS towards receiving hosts that demand nothing themselves by DANE or MTA-STS: `opportunistic` (use it when offered),
        /// `required` (only with a certificate that is valid for the host's name; defer otherwise), `off` (clear text).
        tls: String = "opportunistic",
        /// Whether receiving domains that ask for it (a record at `_smtp._tls`) are told once a day what became of TLS on the way to them:
        /// how often it came about, and how it failed. By mail it is told in the name of `notices.from`.
        tls_reports: bool = "true",
        /// How long an e-mail is tried before it fails, in hours.
        expire_hours: u64 = "72",
        /// Milliseconds between two looks for due work; new mail is picked up at once, without waiting for the next look.
        poll_ms: u64 = "500",
        /// Seconds that due mail may stay unattempted before `/readyz` fails.
        stall_seconds: u64 = "60",
    }
    /// How mail comes in.
    [smtp] Smtp {
        /// Address and port of the SMTP listener that takes bounces and complaints (port 25 in the world); empty turns it off. It takes
        /// mail for return paths of this installation and for nobody else, and never writes in answer. The MX of customers' return paths
        /// is `delivery.ehlo_name`, or `bounce` in `domains.zone`. STARTTLS uses the certificate of the HTTPS listener, with TLS 1.2 too:
        /// hosts that know no better would send in the clear.
        listen: Option<SocketAddr> = "",
    }
    /// Where bounces and complaints come back to.
    [returns] ReturnSettings {
        /// Host of return paths for mail whose sender's domain has none of its own that is verified; its MX must lead to a process with
        /// `smtp.listen`. Feedback loops of mailbox providers may be sent to `abuse@` this host. Processes that only deliver need it to
        /// know that bounces are taken somewhere: with neither this nor `smtp.listen`, bounces go to each mail's author.
        host: Option<String> = "",
        /// What senders are to ask of the way to `returns.host` (MTA-STS): `enforce` (nobody sends without a certificate that is valid for
        /// the exchanger's name), `testing` (only try), `none` (take an earlier policy back; keep it for two weeks), `off` (no policy).
        /// The HTTPS listener serves the policy as `mta-sts.` below `returns.host`: its certificate needs that name, and the world must
        /// find it on port 443. `sealwright doctor` shows the TXT record to publish.
        mta_sts: String = "off",
        /// Names of all exchangers (MX) of `returns.host`, for its policy; empty stands for `delivery.ehlo_name`. A name that is missing
        /// gets no mail from senders who enforce. The certificate of each must have its name.
        exchangers: Vec<String> = "",
    }
    /// How mail leaves through other providers.
    [relays] RelaySettings {
        /// An https URL that is asked instead of the providers' own: `<base_url>/resend/emails` instead of
        /// `https://api.resend.com/emails`. For closed networks with a proxy of their own, and for tests. What stands there is given
        /// the credentials of all relays.
        base_url: Option<String> = "",
    }
    /// Where the records of sending domains lead to.
    [domains] DomainSettings {
        /// A zone of the operator, such as `mail.example.net`. Customers' records then point into it (CNAME), and keys rotate without
        /// a step of theirs; `/zone` on `server.admin_listen` prints its records for the operator's name server. Without it customers
        /// publish the keys themselves, three at once.
        zone: Option<String> = "",
        /// Host that takes mail for customers' domains; their records include an MX to it. Empty while nothing takes mail.
        inbound_host: Option<String> = "",
        /// Host that answers tracked links; customers' records include a CNAME to it. Empty turns the record off.
        tracking_host: Option<String> = "",
    }
    /// How webhooks leave.
    [webhooks] Webhooks {
        /// Webhook requests under way at once in this process.
        concurrency_max: usize = "256",
        /// Seconds that one request may take, answer included.
        timeout_s: u64 = "30",
        /// Hours for which an endpoint may take nothing before it is disabled; its owner is told by event and by mail.
        pause_after_hours: u64 = "120",
        /// Source addresses of requests to webhooks and to all other HTTPS servers, used in turn (separated by commas); the system's choice
        /// when empty. `GET /v1/meta/ips` publishes them.
        source_addresses: Vec<IpAddr> = "",
        /// Addresses that will be used, as `<address> from <date>` (separated by commas): published beside the others, so that receivers let
        /// them in before they come. Give them 30 days.
        announced_addresses: Vec<String> = "",
    }
    /// Who tells organizations about their keys.
    [notices] NoticeSettings {
        /// Sender of mail to organizations' security contacts, as `Name <address>`; its domain must be verified for `notices.org`. Empty
        /// turns notices off: exposed and aging keys are then told by event, audit entry and log only.
        from: Option<String> = "",
        /// The organization that owns the sender's domain, and in whose list the notices appear.
        org: Option<String> = "",
    }
    /// What happens to networks that misbehave.
    [guard] Guard {
        /// Minutes for which a network is shut out (403 `request_blocked`) once its requests look like attacks; each further time twice as
        /// long, up to a day. 0 shuts nobody out: where something in front of this program does it, or many callers share one address.
        ban_minutes: u64 = "10",
    }
    /// What may be reached from here.
    [net] NetSettings {
        /// Private networks that webhooks may reach all the same (CIDR, separated by commas). Everything that is not public is
        /// refused otherwise; each entry opens a door to what lives there.
        allow_private: Vec<IpNet> = "",
        /// Name servers (address:port, separated by commas); the system's when empty.
        name_servers: Vec<SocketAddr> = "",
        /// Port of the name servers that have authority over a domain, which are asked when it is verified. 53 in the world; other
        /// values are for test networks.
        authority_port: u16 = "53",
        /// Port of the hosts that hold the policies of receiving domains (MTA-STS). 443 in the world; other values are for test networks.
        mta_sts_port: u16 = "443",
        /// Whether DNS answers are proven (DNSSEC), which DANE needs: `auto` (if the name servers pass proofs on; the log, a metric and
        /// `sealwright doctor` say so), `off`.
        dnssec: String = "auto",
        /// DNSKEY records that are trusted instead of the root's, one a line as in a zone file with class: for networks with a DNS of
        /// their own. Whoever holds their keys decides whom mail goes to.
        trust_anchor: Option<PathBuf> = "",
        /// Further certificate authorities (PEM): for webhook endpoints, for mail hosts that have to prove who they are, and for the
        /// hosts of their policies.
        extra_ca: Option<PathBuf> = "",
    }
    /// What `sealwright doctor` asks of others.
    [doctor] Doctor {
        /// A domain that takes mail elsewhere, such as one of yours at another provider: its mail host is greeted, so that a closed port
        /// 25 is found. Nothing is sent. Empty leaves it out.
        probe_domain: Option<String> = "",
        /// Block lists (zones, separated by commas) that are asked about the addresses mail leaves from. Most lists have terms, and answer
        /// only name servers that they know. Empty asks none.
        blocklists: Vec<String> = "",
    }
    /// What is written down.
    [log] Log {
        /// `json` or `human`; human when standard error is a terminal and this is empty.
        format: Option<String> = "",
        /// Which messages: `error`, `warn`, `info`, `debug`, or a filter such as `info,sealwright::features::delivery=debug`.
        /// No level writes addresses, subjects, bodies or secrets.
        filter: String = "info",
    }
}

impl StoreSettings {
    /// Whether PostgreSQL is used.
    pub fn is_postgres(&self) -> bool {
        self.postgres_url.is_some()
    }
}
