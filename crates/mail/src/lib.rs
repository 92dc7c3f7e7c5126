//! Mail formats: bytes in, bytes out.
//!
//! This crate turns checked values into the octets other mail systems read, and back. It opens no
//! socket and no file, reads no clock and draws no randomness except the key generators in
//! [`dkim`], which say so in their names; times and seeds come in as arguments, so the same input
//! always gives the same bytes.
//!
//! * [`address`]: mailboxes and domains; an [`address::Address`] exists only parsed.
//! * [`header`]: header names, header text, file names: values that can't end a line early.
//! * [`compose`]: a [`compose::Draft`] becomes a message (RFC 5322, MIME).
//! * [`dkim`]: the signature over that message (RFC 6376, RFC 8463).
//! * [`smtp`]: the dialogue that carries it (RFC 5321).
//! * [`template`]: the language that mail is written in before it has its values.
//! * [`return_path`], [`report`]: what comes back, and of which message (RFC 3464, RFC 5965); what others tell of TLS (RFC 8460).
//!
//! Two rules hold everywhere. Text that ends up in a header is refused at the door of its type,
//! never repaired silently, because repaired injection is still injection. And nothing here prints
//! an address, a subject or a key: `Debug` of personal types shows the type's name only.

pub mod address;
pub mod compose;
pub mod dkim;
mod encode;
pub mod header;
pub mod report;
pub mod return_path;
pub mod smtp;
pub mod template;
mod text;
