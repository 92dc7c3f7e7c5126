//! What a host's signed TLSA records demand (RFC 7672 §2.2).

use crate::features::delivery::wire;
use crate::platform::net::{SecureDns, Security, Tlsa, TlsaMatching, Unknown};
use std::sync::Arc;

/// What was found.
#[derive(Debug)]
pub(super) enum Dane {
    /// No records, or none that are proven.
    Absent,
    /// Records, none of which mail can use: encryption is demanded all the same.
    Unusable,
    /// What the server has to show.
    Usable(Arc<wire::Dane>),
    /// There may be some.
    Unknown(Unknown),
}

/// Looks for the records of a host whose name is proven.
pub(super) async fn of(dns: &SecureDns, host: &str, next_hop: &str, port: u16) -> Dane {
    let bases = match dns.anchored(host).await {
        Ok(bases) => bases,
        Err(unknown) => return Dane::Unknown(unknown),
    };
    for base in bases {
        match dns.tlsa(&base, port).await {
            Err(unknown) => return Dane::Unknown(unknown),
            Ok(Some((records, Security::Secure))) if records.is_empty() => return Dane::Unusable,
            Ok(Some((records, Security::Secure))) => {
                return Dane::Usable(Arc::new(wire::Dane {
                    base,
                    next_hop: next_hop.to_owned(),
                    records: strongest(records),
                }));
            }
            Ok(Some((_, Security::Insecure)) | None) => {}
        }
    }
    Dane::Absent
}

/// Of several digests of one kind only the strongest counts, so that a broken one can be left behind (RFC 7671 §9). In an order of
/// their own, so that equal sets are equal.
fn strongest(mut records: Vec<Tlsa>) -> Vec<Tlsa> {
    let kinds: Vec<_> = records
        .iter()
        .map(|record| (record.usage, record.selector, record.matching))
        .collect();
    records.retain(|record| {
        let is_outdone = |(usage, selector, matching): &(_, _, TlsaMatching)| {
            *usage == record.usage && *selector == record.selector && *matching > record.matching
        };
        record.matching == TlsaMatching::Full || !kinds.iter().any(is_outdone)
    });
    records.sort_by(|one, other| one.data.cmp(&other.data));
    records.dedup();
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::net::{TlsaSelector, TlsaUsage};

    #[test]
    fn a_weaker_digest_does_not_count_beside_a_stronger_one_of_its_kind() {
        let record = |usage, selector, matching, byte: u8| Tlsa {
            usage,
            selector,
            matching,
            data: vec![byte],
        };
        use TlsaMatching::{Full, Sha256, Sha512};
        use TlsaSelector::{Certificate, Key};
        use TlsaUsage::{EndEntity, TrustAnchor};
        let all = vec![
            record(EndEntity, Key, Sha512, 4),
            record(EndEntity, Key, Sha256, 3),
            record(EndEntity, Key, Full, 2),
            record(EndEntity, Certificate, Sha256, 1),
            record(TrustAnchor, Key, Sha256, 0),
            record(EndEntity, Key, Sha512, 4),
        ];
        let kept: Vec<u8> = strongest(all).iter().map(|record| record.data[0]).collect();
        assert_eq!(kept, [0, 1, 2, 4]);
    }
}
