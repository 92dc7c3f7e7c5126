//! What we ask of those who send to our own host: its policy of MTA-STS (RFC 8461), as it is served and as the DNS announces it.

use aws_lc_rs::digest;
use sealwright_mail::address::Domain;

/// Octets of the policy's digest that its id shows: as many as 32 characters hold (RFC 8461 §3.1).
const ID_OCTETS: usize = 16;

/// How much the policy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StsMode {
    /// Nobody may send to a host that does not prove itself.
    Enforce,
    /// Everybody may, and tells what went wrong.
    Testing,
    /// Nothing any more: how a policy is taken back (RFC 8461 §8.3).
    None,
}

impl StsMode {
    /// Reads the word of the setting and of the policy.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None]
            .into_iter()
            .find(|mode| mode.name() == word)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }

    /// How long senders remember it. What is only tried, or taken back, is to be forgotten soon.
    fn max_age_s(self) -> u32 {
        match self {
            Self::Enforce => 14 * 86_400,
            Self::Testing | Self::None => 86_400,
        }
    }
}

/// The policy of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsPolicy {
    host: Domain,
    text: String,
}

impl StsPolicy {
    /// The policy of mail to `host`, which these exchangers take.
    pub fn new(host: Domain, mode: StsMode, exchangers: &[Domain]) -> Self {
        let mut text = format!("version: STSv1\r\nmode: {}\r\n", mode.name());
        for exchanger in exchangers {
            text += &format!("mx: {}\r\n", exchanger.as_str());
        }
        text += &format!("max_age: {}\r\n", mode.max_age_s());
        Self { host, text }
    }

    /// The name of the host that serves it.
    pub fn served_at(&self) -> String {
        format!("mta-sts.{}", self.host.as_str())
    }

    /// The policy as it is served.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the DNS announces it.
    pub fn record_name(&self) -> String {
        format!("_mta-sts.{}", self.host.as_str())
    }

    /// The TXT record that announces it. The id follows from the text: who changes the policy can't forget to change the id.
    pub fn record(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.text.as_bytes());
        let octets = digest.as_ref().iter().take(ID_OCTETS);
        let id: String = octets.map(|octet| format!("{octet:02x}")).collect();
        format!("v=STSv1; id={id};")
    }
}
