//! The text of an MTA-STS policy, and of the record that announces it (RFC 8461 §3).

use std::time::Duration;

/// The longest life of a policy: about a year.
const MAX_AGE_S_MAX: u64 = 31_557_600;
/// Hosts of one policy, at most.
const HOSTS_MAX: usize = 256;

/// Lines of one policy that are kept as they are, at most.
const LINES_MAX: usize = 2 * HOSTS_MAX;

/// How much a policy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing is sent to a host that does not prove itself.
    Enforce,
    /// The domain only wants to know.
    Testing,
    /// Nothing any more.
    None,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    pub(super) max_age: Duration,
    /// Names of hosts; `*.` stands for one label.
    pub(super) hosts: Vec<String>,
    /// Its text, as it is told to the domain again.
    pub(super) lines: Vec<String>,
}

impl Policy {
    /// Reads a policy; `None` when it is not one. Of a field that stands twice the first counts; what is not known is passed over.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let first = |wanted: &str| {
            fields
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| *value)
        };
        if first("version")? != "STSv1" {
            return None;
        }
        let mode = match first("mode")? {
            "enforce" => Mode::Enforce,
            "testing" => Mode::Testing,
            "none" => Mode::None,
            _ => return None,
        };
        let age = first("max_age")?;
        if !age.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let max_age_s = age.parse::<u64>().ok()?.min(MAX_AGE_S_MAX);
        let hosts = fields.iter().filter(|(name, _)| *name == "mx").take(HOSTS_MAX);
        let hosts: Vec<String> = hosts.map(|(_, value)| value.to_ascii_lowercase()).collect();
        if hosts.is_empty() && mode != Mode::None {
            return None;
        }
        Some(Self {
            mode,
            max_age: Duration::from_secs(max_age_s),
            hosts,
            lines: text
                .lines()
                .take(LINES_MAX)
                .map(|line| line.trim_end().to_owned())
                .collect(),
        })
    }

    /// Whether a mail host, in lower case, is one of the domain's.
    pub(super) fn permits(&self, host: &str) -> bool {
        self.hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => pattern == host,
        })
    }
}

/// The id in the records of `_mta-sts`; `None` unless exactly one announces a policy.
pub(super) fn announced(records: &[String]) -> Option<String> {
    let mut ours = records.iter().filter_map(|record| {
        let (version, fields) = record.split_once(';')?;
        (version.trim_end() == "v=STSv1").then_some(fields)
    });
    let (Some(fields), None) = (ours.next(), ours.next()) else {
        return None;
    };
    let mut fields = fields.split(';').filter_map(|field| field.split_once('='));
    let (_, id) = fields.find(|(name, _)| name.trim() == "id")?;
    let id = id.trim();
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_rfc_8461_writes_them() {
        let enforce = (Mode::Enforce, 604_800);
        for (text, expected) in [
            (
                "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmax_age: 604800\r\n",
                Some(enforce),
            ),
            (
                "version: STSv1\nmode: enforce\nmx: mail.example.com\nmax_age: 604800",
                Some(enforce),
            ),
            (
                "max_age:604800\nmx:*.example.net\nmode:enforce\nversion:STSv1\n",
                Some(enforce),
            ),
            (
                "version: STSv1 \nmode:  enforce\nmx: a.example\nmax_age: 604800 \nnew: thing\n\n",
                Some(enforce),
            ),
            (
                "version: STSv1\nmode: enforce\nmode: none\nmx: a.example\nmax_age: 604800\nmax_age: 1\n",
                Some(enforce),
            ),
            (
                "version: STSv1\nmode: testing\nmx: a.example\nmax_age: 0\n",
                Some((Mode::Testing, 0)),
            ),
            (
                "version: STSv1\nmode: none\nmax_age: 86400\n",
                Some((Mode::None, 86_400)),
            ),
            (
                "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 9999999999\n",
                Some((Mode::Enforce, MAX_AGE_S_MAX)),
            ),
            ("version: STSv1\nmode: enforce\nmax_age: 604800\n", None),
            (
                "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 604800\n",
                None,
            ),
            ("mode: enforce\nmx: a.example\nmax_age: 604800\n", None),
            ("version: STSv1\nmx: a.example\nmax_age: 604800\n", None),
            ("version: STSv1\nmode: enforce\nmx: a.example\n", None),
            (
                "version: STSv1\nmode: strict\nmx: a.example\nmax_age: 604800\n",
                None,
            ),
            (
                "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1\n",
                None,
            ),
            (
                "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: +5\n",
                None,
            ),
            ("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: \n", None),
            ("<html>not found</html>", None),
            ("", None),
        ] {
            let found = Policy::parse(text).map(|policy| (policy.mode, policy.max_age.as_secs()));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn a_star_stands_for_exactly_one_label() {
        let policy = "version: STSv1\nmode: enforce\nmx: Mail.Example.com\nmx: *.example.net\nmax_age: 1\n";
        let policy = Policy::parse(policy).unwrap();
        for (host, expected) in [
            ("mail.example.com", true),
            ("mx.example.net", true),
            ("example.net", false),
            ("a.b.example.net", false),
            ("mail.example.com.evil.example", false),
            ("evilexample.net", false),
            ("other.example.com", false),
        ] {
            assert_eq!(policy.permits(host), expected, "{host}");
        }
    }

    #[test]
    fn one_record_announces_a_policy_and_two_announce_none() {
        for (records, expected) in [
            (vec!["v=STSv1; id=20160831085700Z;"], Some("20160831085700Z")),
            (vec!["v=STSv1;id=1"], Some("1")),
            (vec!["v=STSv1 ; ext=x; id=a1 "], Some("a1")),
            (vec!["v=spf1 -all", "v=STSv1; id=1"], Some("1")),
            (vec!["v=STSv1; id=1", "v=STSv1; id=2"], None),
            (vec!["v=STSv10; id=1"], None),
            (vec!["id=1; v=STSv1"], None),
            (vec!["v=STSv1; id=not-a-word"], None),
            (vec!["v=STSv1; id=123456789012345678901234567890123"], None),
            (vec!["v=STSv1"], None),
            (vec![], None),
        ] {
            let records: Vec<String> = records.into_iter().map(str::to_owned).collect();
            assert_eq!(announced(&records).as_deref(), expected, "{records:?}");
        }
    }
}
