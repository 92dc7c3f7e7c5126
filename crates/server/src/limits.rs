//! Every limit on input, by name. A limit that is refused at a door says its number in the refusal.

use std::num::NonZeroU32;
use std::time::Duration;

/// Bytes of a request body: 25 MiB of attachments in base64, with room for the rest.
pub const REQUEST_BODY_BYTES_MAX: usize = 40 * 1024 * 1024;
/// Bytes of a request body on routes that take no attachments.
pub const SMALL_BODY_BYTES_MAX: usize = 256 * 1024;
/// Nesting of JSON arrays and objects.
pub const JSON_DEPTH_MAX: usize = 64;
/// Bytes of a request's head.
pub const REQUEST_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Time for a request's head to arrive.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Header fields of a request on HTTP/1; on HTTP/2 the bytes of its head bound them.
pub const REQUEST_HEADERS_MAX: usize = 100;
/// Time that a connection is kept between two requests.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);
/// Bytes of a request's body per second, at least…
pub const BODY_BYTES_PER_SECOND_MIN: u32 = 500;
/// …but it may fall this far behind, a pause included.
pub const BODY_GRACE: Duration = Duration::from_secs(10);
/// Time that an answer may stay untaken, whole or the rest of it.
pub const ANSWER_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of answers that may wait for their readers at once; those that fit into one piece are not counted.
pub const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time for a request's body to arrive.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a body on the plain listener that are searched for keys.
pub const PLAIN_BODY_BYTES_MAX: usize = 64 * 1024;
/// Time for such a body to arrive.
pub const PLAIN_BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for a TLS handshake.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a trusted proxy's PROXY header.
pub const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a PROXY header, its extensions included.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;
/// Sessions of TLS 1.2 clients without tickets that are remembered.
pub const TLS_SESSIONS_MAX: usize = 1024;
/// HTTP/2 streams of one connection.
pub const H2_STREAMS_MAX: u32 = 100;
/// Requests of one HTTP/2 connection that may be given up beyond those waited for (CVE-2023-44487).
pub const H2_RESETS_MAX: u32 = 100;
/// Streams that may be given up before we have looked at them.
pub const H2_PENDING_RESETS_MAX: usize = 20;
/// Streams that a client may make us reset (CVE-2025-8671).
pub const H2_LOCAL_RESETS_MAX: usize = 50;
/// Frames of one HTTP/2 connection that ask for nothing, such as PING and SETTINGS (CVE-2019-9512, CVE-2019-9515): so many at first…
pub const H2_IDLE_FRAMES_MAX: u32 = 1_000;
/// …and again for each answer that was taken…
pub const H2_IDLE_FRAMES_PER_REQUEST: u32 = 100;
/// …and for each piece of one, which may open two windows and be measured by a ping.
pub const H2_IDLE_FRAMES_PER_PIECE: u32 = 4;
/// Bytes of an HTTP/2 stream that may be on their way to us.
pub const H2_STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// Bytes of all HTTP/2 streams of a connection that may be on their way to us.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of an answer that wait in an HTTP/2 stream for their client.
pub const H2_SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Sending domains of an organization on the enterprise plan.
pub const DOMAINS_MAX: i64 = 10_000;
/// Domains that an organization may delete within 14 days, beyond as many as its plan has room for: each leaves its keys for as long.
pub const DOMAINS_DELETED_BEYOND_MAX: i64 = 10;
/// Octets of a sending domain: the longest of its records' hosts, `sw1e._domainkey.` before it, is a name as well (RFC 1035 §2.3.4).
pub const DOMAIN_OCTETS_MAX: usize = 237;
/// Domains that a process verifies at once because somebody asked for it.
pub const VERIFICATIONS_MAX: usize = 16;
/// How long what was seen of a domain is the answer when it is to be verified again.
pub const VERIFY_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Characters that are kept of what was found in a DNS record.
pub const DNS_FOUND_CHARS_MAX: usize = 512;
/// Records of one name that are kept of what was found.
pub const DNS_FOUND_MAX: usize = 5;

/// Characters of the reason of a suppression.
pub const SUPPRESSION_REASON_CHARS_MAX: usize = 512;
/// Characters of the reason that an operator gives for a change of the queue.
pub const REASON_CHARS_MAX: usize = 500;
/// Bytes of a request on the admin listener.
pub const ADMIN_BODY_BYTES_MAX: usize = 16 * 1024;
/// Suppressions of one import.
pub const SUPPRESSIONS_IMPORTED_MAX: usize = 1_000;
/// Bytes of one import.
pub const SUPPRESSION_IMPORT_BYTES_MAX: usize = 1024 * 1024;
/// Suppressions of one part of an export.
pub const SUPPRESSIONS_EXPORTED_MAX: i64 = 10_000;

/// Recipients of one e-mail in `to`, `cc` and `bcc` together.
pub const RECIPIENTS_MAX: usize = 50;
/// Addresses in `replyTo`.
pub const REPLY_TO_MAX: usize = 10;
/// Characters of a subject (RFC 5322 §2.1.1 allows 998 on a line).
pub const SUBJECT_CHARS_MAX: usize = 998;
/// Bytes of `html` and of `text`, each.
pub const BODY_PART_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Headers set by the caller.
pub const HEADERS_MAX: usize = 25;
/// Tags of one e-mail, and characters of each.
pub const TAGS_MAX: usize = 10;
/// Characters of a tag: letters, digits, `-` and `_`.
pub const TAG_CHARS_MAX: usize = 64;
/// Keys of `metadata`.
pub const METADATA_KEYS_MAX: usize = 50;
/// Characters of a metadata key.
pub const METADATA_KEY_CHARS_MAX: usize = 40;
/// Characters of a metadata value, as text.
pub const METADATA_VALUE_CHARS_MAX: usize = 500;
/// Bytes of all metadata keys and values.
pub const METADATA_BYTES_MAX: usize = 8 * 1024;
/// Attachments of one e-mail.
pub const ATTACHMENTS_MAX: usize = 10;
/// Bytes of one attachment, decoded.
pub const ATTACHMENT_BYTES_MAX: usize = 25 * 1024 * 1024;
/// Time in which all attachments of a request that are given by their address have to be fetched.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests that fetch attachments at once; each may take [`ATTACHMENT_BYTES_MAX`] of memory.
pub const FETCHERS_MAX: usize = 8;
/// Bytes of a composed message.
pub const MESSAGE_BYTES_MAX: usize = 30 * 1024 * 1024;
/// Characters of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// E-mails of one batch.
pub const BATCH_EMAILS_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// Templates of one organization.
pub const TEMPLATES_MAX: i64 = 1_000;
/// Versions of one template that are kept: the active one, and the latest.
pub const TEMPLATE_VERSIONS_MAX: i64 = 50;
/// Bytes of a request that brings a template: four parts of 1 MiB, escaped.
pub const TEMPLATE_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of names and values of an e-mail's variables.
pub const VARIABLES_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an AMP part: readers refuse larger ones.
pub const AMP_BYTES_MAX: usize = 200 * 1024;
/// Bytes of HTML whose styles are written into its elements.
pub const INLINED_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of style sheets times elements, at most: what looking for each rule's elements costs.
pub const INLINING_COST_MAX: usize = 100_000_000;
/// How far ahead mail is scheduled at least: what is nearer is as good as now…
pub const SCHEDULE_AHEAD_MIN: Duration = Duration::from_secs(60);
/// …and at most.
pub const SCHEDULE_AHEAD_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Days after its acceptance after which what comes back of an e-mail is not looked at any more: it may leave as late as
/// [`SCHEDULE_AHEAD_MAX`], mail systems give up after five days, people complain later.
pub const RETURN_DAYS_MAX: i64 = 60;
/// Bytes of a message that comes back.
pub const RETURN_BYTES_MAX: usize = 1024 * 1024;
/// Days of which reports on TLS (RFC 8460) are counted and kept.
pub const TLS_REPORTS_DAYS_MAX: i64 = 90;
/// Reports on TLS that are counted in a day, of all reporters together.
pub const TLS_REPORTS_A_DAY_MAX: i64 = 1000;
/// Reports on TLS that are counted in a day of one reporter: it makes one, or one for each of its parts.
pub const TLS_REPORTS_BY_ONE_MAX: i64 = 50;
/// Domains whose reports are kept at one time.
pub const TLS_REPORTERS_MAX: i64 = 2000;
/// Sums of reports on TLS that are shown at once.
pub const TLS_REPORTS_SHOWN_MAX: i64 = 10_000;
/// Recipients of a message that comes back: it has one, and a list of addresses is no return path.
pub const RETURN_RECIPIENTS_MAX: usize = 10;
/// SMTP connections at once.
pub const SMTP_CONNECTIONS_MAX: usize = 256;
/// SMTP connections of one network at once.
pub const SMTP_CONNECTIONS_PER_NETWORK_MAX: usize = 16;
/// Messages of one SMTP connection.
pub const SMTP_MESSAGES_MAX: u32 = 100;
/// Time for the next bytes of an SMTP client (RFC 5321 §4.5.3.2.7 asks for it).
pub const SMTP_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Time that an SMTP connection lasts, whatever is said on it.
pub const SMTP_SESSION_TIMEOUT: Duration = Duration::from_secs(1_800);

/// Rows of one page of a list.
pub const PAGE_MAX: i64 = 100;
/// Rows of a page when the caller names no number.
pub const PAGE_DEFAULT: i64 = 10;
/// A list's `totalCount` is exact up to here.
pub const COUNT_MAX: i64 = 10_000;

/// Characters of a name that people give to things (key, organization, description).
pub const NAME_CHARS_MAX: usize = 255;
/// Webhook endpoints of one organization.
pub const WEBHOOKS_MAX: i64 = 50;
/// Relays of one organization.
pub const RELAYS_MAX: i64 = 20;
/// Domains that a relay is for.
pub const RELAY_DOMAINS_MAX: usize = 100;
/// Bytes of a request in which a provider tells of mail: SendGrid collects up to 768 KiB.
pub const FEED_BYTES_MAX: usize = 1024 * 1024;
/// Requests in a minute to one relay's feed from networks that proved to be its provider's, on each node.
pub const FEED_REQUESTS_A_MINUTE_MAX: u32 = 600;
/// Event names or wildcards of one webhook endpoint.
pub const WEBHOOK_EVENTS_MAX: usize = 50;
/// Header fields of its own that a webhook endpoint may ask for.
pub const WEBHOOK_HEADERS_MAX: usize = 20;
/// Characters of such a field's name or value, of a user name, a password, a client id or a secret.
pub const WEBHOOK_HEADER_CHARS_MAX: usize = 1_024;
/// Bytes kept of what an endpoint answers.
pub const WEBHOOK_ANSWER_BYTES_KEPT: usize = 4_096;

/// Different results of TLS towards receiving domains that one process counts between two writes; further ones are not counted.
pub const TLS_RESULTS_MAX: usize = 50_000;

/// Notices of one kind that an organization's security contact gets in a day (UTC).
pub const NOTICES_PER_DAY_MAX: usize = 20;

/// API keys of one organization that are not revoked.
pub const KEYS_MAX: i64 = 1_000;
/// Sending domains that a key may be restricted to.
pub const KEY_DOMAINS_MAX: usize = 50;
/// Networks that a key may be restricted to.
pub const KEY_NETWORKS_MAX: usize = 100;
/// Requests in one period of a key's own rate limit.
pub const KEY_RATE_REQUESTS_MAX: u32 = 1_000_000;
/// Seconds that a rotated key goes on working: 30 days.
pub const KEY_OVERLAP_S_MAX: u32 = 30 * 86_400;
/// Days of the highest age that an organization may set for its keys.
pub const KEY_MAX_AGE_DAYS_MAX: u16 = 3_650;
/// Origins whose pages may call with a session.
pub const BROWSER_ORIGINS_MAX: usize = 50;
/// Issuers of session tokens that one organization trusts.
pub const ISSUERS_MAX: i64 = 10;
/// Characters of an issuer's name and of its audience, as they are in tokens.
pub const ISSUER_NAME_CHARS_MAX: usize = 255;
/// Bytes of an issuer's shared secret at least: as many as HS256 makes of it (RFC 7518 §3.2).
pub const ISSUER_SECRET_BYTES_MIN: usize = 32;
/// Bytes of an issuer's shared secret.
pub const ISSUER_SECRET_BYTES_MAX: usize = 1_024;
/// Members of one organization.
pub const MEMBERS_MAX: i64 = 1_000;
/// Characters of a member's subject (OpenID Connect Core 1.0 §2).
pub const MEMBER_SUBJECT_CHARS_MAX: usize = 255;
/// Bytes of a session token.
pub const SESSION_TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Characters of a client's User-Agent that are kept.
pub const AGENT_CHARS_MAX: usize = 200;
/// Tokens in one report of exposed secrets.
pub const EXPOSED_TOKENS_MAX: usize = 100;
/// Days that `GET /v1/usage` shows at most: each is counted from its rows.
pub const USAGE_DAYS_MAX: i64 = 31;
/// Days that it shows unless it is asked for others.
pub const USAGE_DAYS_DEFAULT: i64 = 7;
