//! A report of a day's results (RFC 8460 §4.4), and where a domain wants it (§3).

use super::results::{Demand, Failure, Fault, Rule, Sum};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write as _;

/// Places that one domain is told at, at most.
const PLACES_MAX: usize = 4;
const DAY_S: i64 = 86_400;

/// Where a report goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// By mail, to this address.
    Mail(String),
    /// By POST, to this URL.
    Post(String),
}

/// The places that the records of `_smtp._tls` name; none unless exactly one of them is a record of ours.
pub(super) fn places(records: &[String]) -> Vec<Place> {
    let mut ours = records.iter().filter_map(|record| {
        let (version, fields) = record.split_once(';')?;
        (version.trim_end() == "v=TLSRPTv1").then_some(fields)
    });
    let (Some(fields), None) = (ours.next(), ours.next()) else {
        return Vec::new();
    };
    let mut fields = fields.split(';').filter_map(|field| field.split_once('='));
    let Some((_, uris)) = fields.find(|(name, _)| name.trim() == "rua") else {
        return Vec::new();
    };
    let place = |uri: &str| {
        let (scheme, rest) = uri.trim().split_once(':')?;
        match scheme.to_ascii_lowercase().as_str() {
            // Fields of a mail are nothing that a receiver of reports may set.
            "mailto" => Some(Place::Mail(rest.split('?').next()?.to_owned())),
            "https" => Some(Place::Post(uri.trim().to_owned())),
            _ => None,
        }
    };
    uris.split(',').filter_map(place).take(PLACES_MAX).collect()
}

/// Who reports on which day.
pub(super) struct Heading<'a> {
    /// The host that sends.
    pub(super) submitter: &'a str,
    /// Whom to ask about it.
    pub(super) contact: &'a str,
    /// The domain that is told.
    pub(super) domain: &'a str,
    /// Days since 1970, UTC.
    pub(super) day: i64,
    /// The same for the same domain and day.
    pub(super) id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    organization_name: &'a str,
    date_range: DateRange,
    contact_info: &'a str,
    report_id: &'a str,
    policies: Vec<PolicyPart<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DateRange {
    start_datetime: String,
    end_datetime: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PolicyPart<'a> {
    policy: PolicyText<'a>,
    summary: Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failure_details: Vec<Detail<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PolicyText<'a> {
    policy_type: Demand,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    policy_string: &'a [String],
    policy_domain: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    mx_host: &'a [String],
}

#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    total_successful_session_count: i64,
    total_failure_session_count: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Detail<'a> {
    result_type: Fault,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiving_mx_hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiving_ip: Option<&'a str>,
    failed_session_count: i64,
}

/// The report as JSON.
pub(super) fn json(heading: &Heading<'_>, sums: &[(Sum, i64)]) -> Vec<u8> {
    let mut parts: BTreeMap<String, PolicyPart<'_>> = BTreeMap::new();
    for (sum, sessions) in sums {
        let part = parts.entry(key(&sum.rule)).or_insert_with(|| part(&sum.rule));
        match &sum.failure {
            None => part.summary.total_successful_session_count += sessions,
            Some(failure) => {
                part.summary.total_failure_session_count += sessions;
                part.failure_details.push(detail(failure, *sessions));
            }
        }
    }
    let date = crate::clock::Timestamp::from_micros(heading.day * DAY_S * 1_000_000).date();
    let report = Report {
        organization_name: heading.submitter,
        date_range: DateRange {
            start_datetime: format!("{date}T00:00:00Z"),
            end_datetime: format!("{date}T23:59:59Z"),
        },
        contact_info: heading.contact,
        report_id: heading.id,
        policies: parts.into_values().collect(),
    };
    // Texts and numbers: this can't fail.
    serde_json::to_vec(&report).unwrap_or_default()
}

/// The report as it is sent.
pub(super) fn compressed(json: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory can't fail.
    let _ = encoder.write_all(json);
    encoder.finish().unwrap_or_default()
}

/// The name of the file (RFC 8460 §5.1).
pub(super) fn file_name(heading: &Heading<'_>) -> String {
    let (begin, end) = (heading.day * DAY_S, (heading.day + 1) * DAY_S - 1);
    format!("{}!{}!{begin}!{end}!1.json.gz", heading.submitter, heading.domain)
}

fn key(rule: &Rule) -> String {
    format!(
        "{:?} {} {}",
        rule.demand,
        rule.lines.join(" "),
        rule.hosts.join(" ")
    )
}

fn part(rule: &Rule) -> PolicyPart<'_> {
    PolicyPart {
        policy: PolicyText {
            policy_type: rule.demand,
            policy_string: &rule.lines,
            policy_domain: &rule.domain,
            mx_host: &rule.hosts,
        },
        summary: Summary::default(),
        failure_details: Vec::new(),
    }
}

fn detail(failure: &Failure, sessions: i64) -> Detail<'_> {
    Detail {
        result_type: failure.fault,
        receiving_mx_hostname: failure.host.as_deref(),
        receiving_ip: failure.address.as_deref(),
        failed_session_count: sessions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_says_where_reports_go_and_two_say_nothing() {
        let mail = |address: &str| Place::Mail(address.to_owned());
        let post = |url: &str| Place::Post(url.to_owned());
        for (records, expected) in [
            (
                vec!["v=TLSRPTv1; rua=mailto:tls@example.com"],
                vec![mail("tls@example.com")],
            ),
            (
                vec!["v=TLSRPTv1;rua=https://r.example/tls?a=b , MAILTO:tls@example.com?subject=x;"],
                vec![post("https://r.example/tls?a=b"), mail("tls@example.com")],
            ),
            (
                vec!["v=spf1 -all", "v=TLSRPTv1; ext=1; rua=mailto:a@b.example"],
                vec![mail("a@b.example")],
            ),
            (vec!["v=TLSRPTv1; rua=ftp://a.example,http://b.example"], vec![]),
            (
                vec![
                    "v=TLSRPTv1; rua=mailto:a@b.example",
                    "v=TLSRPTv1; rua=mailto:c@d.example",
                ],
                vec![],
            ),
            (vec!["v=TLSRPTv2; rua=mailto:a@b.example"], vec![]),
            (vec!["v=TLSRPTv1"], vec![]),
            (vec![], vec![]),
        ] {
            let records: Vec<String> = records.into_iter().map(str::to_owned).collect();
            assert_eq!(places(&records), expected, "{records:?}");
        }
        let many = format!("v=TLSRPTv1; rua={}", ["mailto:a@b.example"; 9].join(","));
        assert_eq!(places(&[many]).len(), PLACES_MAX);
    }

    #[test]
    fn sums_of_one_rule_are_one_policy_of_the_report() {
        let rule = |demand, line: &str| Rule {
            domain: "example.com".to_owned(),
            demand,
            lines: vec![line.to_owned()],
            hosts: vec!["*.example.com".to_owned()],
        };
        let failure = Failure {
            fault: Fault::StsWebPkiInvalid,
            host: Some("mx.example.com".to_owned()),
            address: Some("192.0.2.1".to_owned()),
        };
        let sum = |rule, failure| Sum { rule, failure };
        let sums = [
            (sum(rule(Demand::Sts, "version: STSv1"), None), 5),
            (sum(rule(Demand::Sts, "version: STSv1"), Some(failure)), 2),
            (sum(rule(Demand::NoPolicyFound, ""), None), 1),
        ];
        let heading = Heading {
            submitter: "mail.example.net",
            contact: "postmaster@example.net",
            domain: "example.com",
            day: 20_000,
            id: "20000-1",
        };
        let report: serde_json::Value = serde_json::from_slice(&json(&heading, &sums)).unwrap();
        assert_eq!(report["date-range"]["start-datetime"], "2024-10-04T00:00:00Z");
        let policies = report["policies"].as_array().unwrap();
        assert_eq!(policies.len(), 2);
        let sts = policies
            .iter()
            .find(|part| part["policy"]["policy-type"] == "sts")
            .unwrap();
        assert_eq!(sts["summary"]["total-successful-session-count"], 5);
        assert_eq!(sts["summary"]["total-failure-session-count"], 2);
        assert_eq!(sts["failure-details"][0]["result-type"], "sts-webpki-invalid");
        assert_eq!(sts["failure-details"][0]["receiving-ip"], "192.0.2.1");
        let none = policies
            .iter()
            .find(|part| part["policy"]["policy-type"] == "no-policy-found");
        assert!(none.unwrap().get("failure-details").is_none());
        assert_eq!(
            file_name(&heading),
            "mail.example.net!example.com!1728000000!1728086399!1.json.gz"
        );
    }
}
