//! What a server announces in its reply to EHLO.

use crate::smtp::reply::Reply;

/// The extensions that matter to a client. The default is a server that knows only HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// EHLO was understood.
    pub esmtp: bool,
    /// PIPELINING, RFC 2920.
    pub pipelining: bool,
    /// SIZE, RFC 1870: the greatest size, 0 if there is no fixed one, `None` if not offered.
    pub size: Option<u64>,
    /// 8BITMIME, RFC 6152.
    pub eight_bit_mime: bool,
    /// SMTPUTF8, RFC 6531.
    pub smtputf8: bool,
    /// STARTTLS, RFC 3207.
    pub starttls: bool,
    /// ENHANCEDSTATUSCODES, RFC 2034.
    pub enhanced_status_codes: bool,
    /// AUTH with PLAIN, RFC 4954.
    pub auth_plain: bool,
    /// AUTH with LOGIN.
    pub auth_login: bool,
    /// DSN, RFC 3461.
    pub dsn: bool,
    /// CHUNKING, RFC 3030; never used: one way to end a message is safer than two.
    pub chunking: bool,
    /// REQUIRETLS, RFC 8689.
    pub requiretls: bool,
}

impl Extensions {
    /// Reads a positive reply to EHLO. Unknown keywords and odd parameters are ignored; a SIZE
    /// that is no number counts as "no fixed limit".
    pub(super) fn of_reply(reply: &Reply) -> Self {
        let mut extensions = Self {
            esmtp: true,
            ..Self::default()
        };
        for line in reply.lines().iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => extensions.pipelining = true,
                "SIZE" => {
                    let limit = words.next().and_then(|number| number.parse().ok());
                    extensions.size = Some(limit.unwrap_or(0));
                }
                "8BITMIME" => extensions.eight_bit_mime = true,
                "SMTPUTF8" => extensions.smtputf8 = true,
                "STARTTLS" => extensions.starttls = true,
                "ENHANCEDSTATUSCODES" => extensions.enhanced_status_codes = true,
                "AUTH" => {
                    for mechanism in words {
                        extensions.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        extensions.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                "DSN" => extensions.dsn = true,
                "CHUNKING" => extensions.chunking = true,
                "REQUIRETLS" => extensions.requiretls = true,
                _ => {}
            }
        }
        extensions
    }

    /// The greatest message the server takes, if it says.
    pub fn size_limit(&self) -> Option<u64> {
        self.size.filter(|&limit| limit > 0)
    }
}
