//! Every number of the SMTP part: waits in seconds, sizes in octets, counts.
//!
//! The waits are data, not timers: this crate reads no clock, so the program that drives the
//! machines applies them.

/// How long a client waits for the greeting (RFC 5321 §4.5.3.2.1).
pub const GREETING_SECONDS: u64 = 5 * 60;

/// How long a client waits for the reply to EHLO, HELO, STARTTLS, RSET or NOOP. RFC 5321 names no
/// value for them; they are as cheap for the server as MAIL.
pub const COMMAND_SECONDS: u64 = 5 * 60;

/// How long a client waits for the reply to MAIL (RFC 5321 §4.5.3.2.2).
pub const MAIL_SECONDS: u64 = 5 * 60;

/// How long a client waits for the reply to RCPT (RFC 5321 §4.5.3.2.3).
pub const RCPT_SECONDS: u64 = 5 * 60;

/// How long a client waits for 354 after DATA (RFC 5321 §4.5.3.2.4).
pub const DATA_SECONDS: u64 = 2 * 60;

/// How long one write of content may stay unfinished (RFC 5321 §4.5.3.2.5).
pub const DATA_BLOCK_SECONDS: u64 = 3 * 60;

/// How long a client waits for the reply to the final dot. Giving up earlier makes duplicates:
/// the server may already have taken the message (RFC 5321 §4.5.3.2.6, RFC 1047).
pub const DOT_SECONDS: u64 = 10 * 60;

/// How long a server waits for the next command (RFC 5321 §4.5.3.2.7).
pub const SERVER_IDLE_SECONDS: u64 = 5 * 60;

/// Longest reply line a client reads, CRLF included. RFC 5321 §4.5.3.1.5 allows 512 octets;
/// real servers put long explanations and links into one line.
pub const REPLY_LINE_OCTETS_MAX: usize = 2048;

/// Most lines of one reply.
pub const REPLY_LINES_MAX: usize = 128;

/// Most octets of one reply, all its lines together.
pub const REPLY_OCTETS_MAX: usize = 32 * 1024;

/// Longest command line a server reads, CRLF included. RFC 5321 §4.5.3.1.4 demands 512 octets,
/// and extensions add parameters to it.
pub const COMMAND_LINE_OCTETS_MAX: usize = 2048;

/// Longest line of content, CRLF included (RFC 5321 §4.5.3.1.6).
pub const CONTENT_LINE_OCTETS_MAX: usize = 1000;

/// Longest local part (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_OCTETS_MAX: usize = 64;

/// Longest domain (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_OCTETS_MAX: usize = 255;

/// Longest address without its angle brackets (RFC 5321 §4.5.3.1.3 counts 256 with them).
pub const ADDRESS_OCTETS_MAX: usize = 254;

/// Recipients a server takes per transaction unless told otherwise (the least that RFC 5321
/// §4.5.3.1.8 permits).
pub const RECIPIENTS_MAX: usize = 100;

/// Octets of content a server takes unless told otherwise: 25 MiB of attachments in base64.
pub const MESSAGE_OCTETS_MAX: usize = 36 * 1024 * 1024;

/// Faulty commands a server answers before it hangs up.
pub const FAULTS_MAX: u32 = 20;

/// Commands a server answers without a message coming of them before it hangs up: enough for any
/// client that probes, too few to keep a connection busy for nothing.
pub const IDLE_COMMANDS_MAX: u32 = 500;

/// Octets of MAIL, RCPT and DATA that a client sends ahead of their replies. It keeps the replies
/// of one group well below what the two sockets can buffer (RFC 2920 §3.1 warns of the deadlock).
pub const PIPELINE_OCTETS_MAX: usize = 16 * 1024;

/// Octets of content handed to the connection at once.
pub const CONTENT_BLOCK_OCTETS: usize = 64 * 1024;
