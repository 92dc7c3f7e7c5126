//! The records that a domain's owner publishes: what each must say, and all of them as a zone file.

use super::{Algorithm, DkimKey, Domain, SELECTORS};
use crate::id::{DomainId, Id as _};
use sealwright_mail::address::Domain as Name;
use std::fmt::Write as _;

/// Seconds for which the DNS may keep what it was told.
const TTL_S: u32 = 3600;
/// Octets of one string of a TXT record (RFC 1035 §3.3.14).
const STRING_OCTETS_MAX: usize = 255;
/// The label of the host that bounces go to, below a sending domain and in the operator's zone.
pub const BOUNCE_LABEL: &str = "bounce";
/// Preference of the only mail host of a name.
const MX_PREFERENCE: u16 = 10;

/// The type of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// Text.
    Txt,
    /// Another name for a host.
    Cname,
    /// A host that takes mail.
    Mx,
}

impl RecordType {
    /// All types.
    pub const ALL: [RecordType; 3] = [Self::Txt, Self::Cname, Self::Mx];

    /// The type as zone files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Txt => "TXT",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
        }
    }
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPurpose {
    /// The public key of DKIM signatures (RFC 6376).
    Dkim,
    /// Who may send (RFC 7208).
    Spf,
    /// What receivers are to do with mail that fails (RFC 9989).
    Dmarc,
    /// Where bounces go; aligns SPF with the domain.
    ReturnPath,
    /// Where tracked links lead.
    Tracking,
    /// Where the domain receives mail.
    Inbound,
}

impl RecordPurpose {
    /// All purposes.
    pub const ALL: [RecordPurpose; 6] = [
        Self::Dkim,
        Self::Spf,
        Self::Dmarc,
        Self::ReturnPath,
        Self::Tracking,
        Self::Inbound,
    ];

    /// The purpose as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dkim => "dkim",
            Self::Spf => "spf",
            Self::Dmarc => "dmarc",
            Self::ReturnPath => "return_path",
            Self::Tracking => "tracking",
            Self::Inbound => "inbound",
        }
    }
}

/// One record to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its type.
    pub kind: RecordType,
    /// What it is for.
    pub purpose: RecordPurpose,
    /// Its name, without a last dot.
    pub host: String,
    /// What it says: a text, or a host name without a last dot.
    pub value: String,
    /// The preference of an MX.
    pub priority: Option<u16>,
    /// Whether nothing can be sent, or not for long, without it.
    pub is_required: bool,
    /// The id of the key that it shows, if it is one of DKIM.
    pub key: Option<String>,
}

/// The installation's own host names, which customers' records lead to.
#[derive(Debug, Clone)]
pub struct Names {
    /// A zone of the operator, if there is one.
    pub zone: Option<Name>,
    /// The host that sends: the name said in EHLO.
    pub sender: String,
    /// The host that takes mail for customers' domains.
    pub inbound: Option<Name>,
    /// The host that answers tracked links.
    pub tracking: Option<Name>,
}

impl Names {
    /// The mechanism that lets our addresses send (RFC 7208 §5).
    pub fn spf_mechanism(&self) -> String {
        match &self.zone {
            Some(zone) => format!("include:spf.{}", zone.as_str()),
            None => format!("a:{}", self.sender),
        }
    }

    /// Whether the host that sends has a name of the DNS, which records can lead to.
    pub fn has_sender(&self) -> bool {
        Name::parse(&self.sender).is_ok()
    }

    /// What is wrong where it has none, for the operator.
    pub fn nameless(&self) -> String {
        format!(
            "this host calls itself {}, which is no full host name, so records of sending domains can't lead to it; set \
             delivery.ehlo_name",
            self.sender
        )
    }

    /// Where the CNAME of a selector leads: a name that only this domain of this organization has.
    fn dkim_target(&self, domain: &DomainId, selector: &str) -> Option<String> {
        let zone = self.zone.as_ref()?;
        Some(format!("{}.{}", dkim_label(domain, selector), zone.as_str()))
    }

    /// The operator's zone, for `$INCLUDE`: what customers' records lead to. `keys` are those of all organizations.
    pub fn zone_file(&self, keys: &[(DomainId, String, String)]) -> Option<String> {
        let zone = self.zone.as_ref()?;
        let mut file = format!("$ORIGIN {}.\n$TTL {TTL_S}\n", zone.as_str());
        let spf = format!("v=spf1 a:{} -all", self.sender);
        // Writing to a String can't fail.
        let _ = writeln!(file, "spf\tIN\tTXT\t{}", quoted(&spf));
        let _ = writeln!(file, "{BOUNCE_LABEL}\tIN\tMX\t{MX_PREFERENCE} {}.", self.sender);
        let _ = writeln!(file, "{BOUNCE_LABEL}\tIN\tTXT\t{}", quoted(&spf));
        for (domain, selector, record) in keys {
            let _ = writeln!(
                file,
                "{}\tIN\tTXT\t{}",
                dkim_label(domain, selector),
                quoted(record)
            );
        }
        Some(file)
    }
}

fn dkim_label(domain: &DomainId, selector: &str) -> String {
    let ulid = domain.as_str().rsplit('_').next().unwrap_or_default();
    format!("{selector}.{ulid}.dkim")
}

/// The host of a selector's key (RFC 6376 §3.6.2.1).
pub(super) fn dkim_host(selector: &str, domain: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

/// The host of a domain's return path.
pub(super) fn bounce_host(domain: &str) -> String {
    format!("{BOUNCE_LABEL}.{domain}")
}

impl Domain {
    /// The host that bounces go to, once its record is published.
    pub fn bounce_host(&self) -> String {
        bounce_host(&self.name)
    }

    /// Everything that its owner publishes, the keys first.
    pub fn records(&self, names: &Names) -> Vec<Record> {
        let mut records = self.dkim_records(names);
        records.push(Record {
            is_required: false,
            ..txt(
                RecordPurpose::Spf,
                &self.name,
                format!("v=spf1 {} ~all", names.spf_mechanism()),
            )
        });
        records.push(Record {
            is_required: false,
            ..txt(
                RecordPurpose::Dmarc,
                &format!("_dmarc.{}", self.name),
                "v=DMARC1; p=none;".to_owned(),
            )
        });
        records.extend(self.return_path_records(names));
        if let Some(tracking) = &names.tracking {
            records.push(cname(
                RecordPurpose::Tracking,
                &format!("links.{}", self.name),
                tracking.as_str(),
            ));
        }
        if let Some(inbound) = &names.inbound {
            records.push(mx(RecordPurpose::Inbound, &self.name, inbound.as_str()));
        }
        records
    }

    fn dkim_records(&self, names: &Names) -> Vec<Record> {
        let algorithms = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| self.signs_by(*algorithm));
        let mut records = Vec::new();
        for selector in algorithms.flat_map(|algorithm| SELECTORS.map(|slot| algorithm.selector(slot))) {
            let host = dkim_host(&selector, &self.name);
            let key = self.key(&selector);
            let record = match names.dkim_target(&self.id, &selector) {
                Some(target) => Some(cname(RecordPurpose::Dkim, &host, &target)),
                None => key.map(|key| txt(RecordPurpose::Dkim, &host, key.public_record.clone())),
            };
            records.extend(record.map(|record| Record {
                is_required: true,
                key: key.map(|key| key.id.to_string()),
                ..record
            }));
        }
        records
    }

    fn return_path_records(&self, names: &Names) -> Vec<Record> {
        let host = self.bounce_host();
        match &names.zone {
            Some(zone) => vec![cname(
                RecordPurpose::ReturnPath,
                &host,
                &bounce_host(zone.as_str()),
            )],
            None => vec![
                mx(RecordPurpose::ReturnPath, &host, &names.sender),
                txt(
                    RecordPurpose::ReturnPath,
                    &host,
                    format!("v=spf1 {} ~all", names.spf_mechanism()),
                ),
            ],
        }
    }

    /// The records as a zone file (RFC 1035 §5.1).
    pub fn zone_file(&self, names: &Names) -> String {
        let mut file = format!("; What {} needs for sending.\n$TTL {TTL_S}\n", self.name);
        for record in self.records(names) {
            let value = match record.kind {
                RecordType::Txt => quoted(&record.value),
                RecordType::Cname => format!("{}.", record.value),
                RecordType::Mx => format!("{} {}.", record.priority.unwrap_or(MX_PREFERENCE), record.value),
            };
            // As above.
            let _ = writeln!(file, "{}.\tIN\t{}\t{value}", record.host, record.kind.name());
        }
        file
    }

    /// The key that a selector has now.
    pub(super) fn key(&self, selector: &str) -> Option<&DkimKey> {
        self.keys.iter().find(|key| key.selector == selector)
    }
}

fn txt(purpose: RecordPurpose, host: &str, value: String) -> Record {
    Record {
        kind: RecordType::Txt,
        purpose,
        host: host.to_owned(),
        value,
        priority: None,
        is_required: false,
        key: None,
    }
}

fn cname(purpose: RecordPurpose, host: &str, target: &str) -> Record {
    Record {
        kind: RecordType::Cname,
        ..txt(purpose, host, target.to_owned())
    }
}

fn mx(purpose: RecordPurpose, host: &str, target: &str) -> Record {
    Record {
        kind: RecordType::Mx,
        priority: Some(MX_PREFERENCE),
        ..txt(purpose, host, target.to_owned())
    }
}

/// A text as zone files write it: strings that are short enough, in quotes. Nothing in ours needs an escape.
fn quoted(text: &str) -> String {
    let mut strings = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (string, tail) = rest.split_at_checked(STRING_OCTETS_MAX).unwrap_or((rest, ""));
        strings.push(format!("\"{string}\""));
        rest = tail;
    }
    strings.join(" ")
}
