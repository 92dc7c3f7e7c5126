//! Certificates judged by TLSA records (RFC 6698, RFC 7671, RFC 7672).

use std::fmt;

use aws_lc_rs::digest;
use rustls::CertificateError;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::platform::net::{Tlsa, TlsaMatching, TlsaSelector, TlsaUsage};

/// What a server has to show under DANE. Two are equal when one connection can stand for both.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Dane {
    /// The name below which the records were found: it is said in SNI.
    pub base: String,
    /// The domain of the recipients, which a certificate may name as well (RFC 7672 §3.2.2).
    pub next_hop: String,
    /// The usable records, at least one.
    pub records: Vec<Tlsa>,
}

/// The domain of recipients is personal.
impl fmt::Debug for Dane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dane({} records)", self.records.len())
    }
}

impl Dane {
    pub(super) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), rustls::Error> {
        let of = |usage| self.records.iter().filter(move |record| record.usage == usage);
        // The key itself is named: neither its names nor its dates matter (RFC 7672 §3.1.1).
        if of(TlsaUsage::EndEntity).any(|record| matches(record, end_entity)) {
            return Ok(());
        }
        let full = of(TlsaUsage::TrustAnchor).filter(|record| {
            record.selector == TlsaSelector::Certificate && record.matching == TlsaMatching::Full
        });
        let full: Vec<CertificateDer<'_>> = full
            .map(|record| CertificateDer::from(record.data.as_slice()))
            .collect();
        let shown = chain
            .iter()
            .filter(|certificate| of(TlsaUsage::TrustAnchor).any(|record| matches(record, certificate)));
        let anchors: Vec<TrustAnchor<'_>> = shown
            .chain(&full)
            .filter_map(|certificate| anchor_from_trusted_cert(certificate).ok())
            .collect();
        if anchors.is_empty() {
            return Err(rustls::Error::General(
                "no TLSA record fits the certificate".to_owned(),
            ));
        }
        let unfit = |error: webpki::Error| rustls::Error::General(format!("TLSA: {error}"));
        let certificate = EndEntityCert::try_from(end_entity).map_err(unfit)?;
        let usage = KeyUsage::server_auth();
        certificate
            .verify_for_usage(algorithms.all, &anchors, chain, now, usage, None, None)
            .map_err(unfit)?;
        let mut names = [&self.base, &self.next_hop]
            .into_iter()
            .filter_map(|name| ServerName::try_from(name.as_str()).ok());
        if names.any(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok()) {
            Ok(())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }
}

/// Whether a record describes a certificate.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = match record.selector {
        TlsaSelector::Certificate => certificate.to_vec(),
        TlsaSelector::Key => match EndEntityCert::try_from(certificate) {
            Ok(parsed) => parsed.subject_public_key_info().to_vec(),
            Err(_) => return false,
        },
    };
    match record.matching {
        TlsaMatching::Full => selected == record.data,
        TlsaMatching::Sha256 => digest::digest(&digest::SHA256, &selected).as_ref() == record.data,
        TlsaMatching::Sha512 => digest::digest(&digest::SHA512, &selected).as_ref() == record.data,
    }
}
