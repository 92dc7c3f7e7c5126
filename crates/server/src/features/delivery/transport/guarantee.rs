//! From what is demanded to what is guaranteed.

use super::dane::Dane;
use super::policy::{Mode, Policy};
use crate::features::delivery::wire::{self, TlsMode, TlsProblem};
use crate::features::domains::Tls;
use crate::platform::net::Unknown;
use std::sync::Arc;

/// What a connection to a host guarantees. Equal ones may share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::features::delivery) enum Guarantee {
    /// Clear text, as the operator set it.
    Clear,
    /// Whatever the server offers.
    Opportunistic,
    /// Encryption, with whoever is there: TLSA records exist that nobody can use (RFC 7672 §2.2).
    Encrypted,
    /// A certificate that public authorities, or those of `net.extra_ca`, vouch for.
    Pkix {
        /// The name in it.
        host: String,
    },
    /// A certificate that the domain's own signed records vouch for.
    Dane(Arc<wire::Dane>),
}

impl Guarantee {
    /// The word for it.
    pub(in crate::features::delivery) fn name(&self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Opportunistic => "opportunistic",
            Self::Encrypted => "encrypted",
            Self::Pkix { .. } => "pkix",
            Self::Dane(_) => "dane",
        }
    }

    /// What is told of a mail that could not go out because of it, with the enhanced status code that fits (RFC 3463 §3.8).
    pub(in crate::features::delivery) fn unmet(&self, problem: TlsProblem, reason: &str) -> String {
        let code = match problem {
            TlsProblem::Missing => "4.7.10",
            TlsProblem::Handshake => "4.7.5",
        };
        let demanded = match self {
            Self::Clear | Self::Opportunistic => return reason.to_owned(),
            Self::Encrypted => "the domain's TLSA records demand encryption",
            Self::Pkix { .. } => "a certificate that is valid for the mail host is demanded",
            Self::Dane(_) => "a certificate that fits the domain's TLSA records is demanded (DANE)",
        };
        format!("{code} {demanded}: {reason}")
    }
}

/// Why nothing may be sent to a host now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unmet {
    /// What its domain's own records demand can't be known.
    #[error("4.7.5 the mail host's TLSA records can't be known now: {0}")]
    Records(Unknown),
    /// Its domain's policy names other hosts.
    #[error("4.7.5 the domain's policy (MTA-STS) does not name its mail host")]
    Name,
}

/// Everything that has a say.
pub(super) struct Demands<'a> {
    pub(super) dane: Dane,
    /// The policy; only one that is to be enforced demands anything.
    pub(super) sts: Option<&'a Policy>,
    /// The sender's.
    pub(super) wish: Tls,
    /// The operator's.
    pub(super) mode: TlsMode,
}

impl Demands<'_> {
    /// What they come to for this host; the error says why nothing may be sent to it now.
    pub(super) fn of(self, host: &str) -> Result<Guarantee, Unmet> {
        let is_required = self.wish == Tls::Required || self.mode == TlsMode::Required;
        let pkix = || Guarantee::Pkix {
            host: host.to_owned(),
        };
        match self.dane {
            Dane::Unknown(why) => {
                return Err(Unmet::Records(why));
            }
            // RFC 8461 §2: DANE takes precedence.
            Dane::Usable(dane) => return Ok(Guarantee::Dane(dane)),
            Dane::Unusable | Dane::Absent => {}
        }
        match self.sts.filter(|policy| policy.mode == Mode::Enforce) {
            Some(policy) if policy.permits(host) => return Ok(pkix()),
            Some(_) => return Err(Unmet::Name),
            None => {}
        }
        Ok(match (is_required, self.dane, self.mode) {
            (true, ..) => pkix(),
            (false, Dane::Unusable, _) => Guarantee::Encrypted,
            (false, _, TlsMode::Off) => Guarantee::Clear,
            (false, _, TlsMode::Opportunistic | TlsMode::Required | TlsMode::Implicit) => {
                Guarantee::Opportunistic
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TLSA records, whether a policy is enforced, the host, the sender's wish, the operator's, and what they come to.
    const ROWS: &str = "
        absent   -   mx.example    opportunistic opportunistic opportunistic
        absent   -   mx.example    opportunistic off           clear
        absent   -   mx.example    opportunistic required      pkix
        absent   -   mx.example    required      opportunistic pkix
        absent   -   mx.example    required      off           pkix
        absent   sts mx.example    opportunistic opportunistic pkix
        absent   sts mx.example    opportunistic off           pkix
        absent   sts other.example opportunistic opportunistic none
        unusable -   mx.example    opportunistic opportunistic encrypted
        unusable -   mx.example    opportunistic off           encrypted
        unusable -   mx.example    required      opportunistic pkix
        unusable sts mx.example    opportunistic opportunistic pkix
        usable   -   mx.example    opportunistic opportunistic dane
        usable   sts other.example required      off           dane
        unknown  -   mx.example    opportunistic opportunistic none
        unknown  sts mx.example    opportunistic off           none";

    fn dane(word: &str) -> Dane {
        match word {
            "absent" => Dane::Absent,
            "unusable" => Dane::Unusable,
            "unknown" => Dane::Unknown(Unknown::Failed),
            _ => Dane::Usable(Arc::new(wire::Dane {
                base: "mx.example".to_owned(),
                next_hop: "example".to_owned(),
                records: Vec::new(),
            })),
        }
    }

    #[test]
    fn the_strongest_demand_decides() {
        let policy = "version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 86400\n";
        let policy = Policy::parse(policy).unwrap();
        let rows = ROWS.lines().filter(|row| !row.trim().is_empty());
        for row in rows {
            let words: Vec<&str> = row.split_ascii_whitespace().collect();
            let [records, sts, host, wish, mode, expected] = words[..] else {
                panic!("{row}");
            };
            let demands = Demands {
                dane: dane(records),
                sts: (sts == "sts").then_some(&policy),
                wish: Tls::parse(wish).unwrap(),
                mode: match mode {
                    "off" => TlsMode::Off,
                    "required" => TlsMode::Required,
                    _ => TlsMode::Opportunistic,
                },
            };
            let found = demands.of(host);
            assert_eq!(found.as_ref().map_or("none", Guarantee::name), expected, "{row}");
            if let Err(unmet) = found {
                assert!(unmet.to_string().starts_with("4.7.5 "), "{row}: {unmet}");
            }
        }
    }
}
