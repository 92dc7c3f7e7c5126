//! What comes back of an e-mail after it left: bounces of hosts further on, and complaints.
//!
//! Mail leaves with a return path that names e-mail and destination and that nobody else can make ([`local_part`]). What is sent to it
//! is read as a report; each recipient whom it is about becomes bounced or has complained, in one commit with the event that tells of
//! it. A recipient bounces once and complains once, however often the report comes. Of the report its author's own words are kept,
//! sealed as logs: the message that it brings back is content, which is forgotten earlier.
//!
//! Whoever got a mail can make a report on it, for the recipients of that destination and no others. Nothing is ever written in
//! answer: an answer to a report is how loops begin.
//!
//! Who complains, and who is named as unknown, is suppressed in the same commit.
//!
//! Providers that mail left through tell of it in requests instead ([`hear`]); what they tell is recorded in the same way.
//! Senders to our own host are told what to ask of it ([`StsPolicy`]), and what they report of the way is counted ([`tls_sessions`]).
//!
//! Not here: SMTP, formats, replies that people write.

mod feed;
mod path;
mod receive;
mod store;
mod sts;
mod tls_reports;

pub use feed::hear;
pub use path::{Addressee, Refused, Returned, judge, local_part};
pub use receive::{Received, ReturnError, receive};
pub use store::ALL as STATEMENTS;
pub use sts::{StsMode, StsPolicy};
pub use tls_reports::{TlsSessions, tls_reports_record, tls_reports_record_name, tls_sessions};
