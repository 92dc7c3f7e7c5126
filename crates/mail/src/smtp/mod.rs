//! SMTP as two state machines (RFC 5321): [`client::Client`] speaks to a mail exchanger,
//! [`server::Server`] answers one.
//!
//! Both take octets cut anywhere and hand out octets to write; neither knows of sockets, TLS
//! libraries, clocks or tasks. A connection lives like this:
//!
//! ```text
//! client   greeting → EHLO [→ STARTTLS → EHLO] → ready → MAIL, RCPT…, DATA → content → dot → ready …
//! server   greeting → Hello → Mail → Rcpt… → Data → Message → Mail … → closing
//! ```
//!
//! Beside them: [`reply`] (codes and text), [`content`] (dots, line ends), [`outcome`] (what became
//! of each recipient, and why), [`classify`](mod@classify) (what a refusal means) and [`limits`].
//!
//! Not here: which host to speak to, when to try again, who may send what, what a message holds.

pub mod classify;
pub mod client;
pub mod content;
pub mod limits;
pub mod outcome;
mod path;
pub mod reply;
pub mod server;

#[doc(inline)]
pub use classify::{Category, classify};
#[doc(inline)]
pub use client::{Client, Envelope, Extensions, TlsMode, Turn, Verb};
#[doc(inline)]
pub use outcome::{LocalReason, Outcome, Reason};
#[doc(inline)]
pub use reply::{EnhancedCode, Reply, Severity};
#[doc(inline)]
pub use server::{Event, Offer, Server, ServerOptions};
