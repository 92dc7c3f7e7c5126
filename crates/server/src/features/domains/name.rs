//! Names that a domain may have: no look-alikes.

use super::DomainError;
use crate::limits::DOMAIN_OCTETS_MAX;
use sealwright_mail::address::Domain as Name;
use unicode_security::RestrictionLevelDetection as _;
use unicode_security::restriction_level::RestrictionLevel;

/// Reads a name. One whose letters come from scripts that nobody writes together, such as a Cyrillic `а` in `pаypal`, is refused
/// (UTS #39 §5.2, *highly restrictive*): it could only be meant to be taken for another.
pub(super) fn parse(text: &str) -> Result<Name, DomainError> {
    let name = Name::parse(text).map_err(|error| DomainError::Name(error.to_string()))?;
    if name.as_str().len() > DOMAIN_OCTETS_MAX {
        let long =
            format!("it may have at most {DOMAIN_OCTETS_MAX} octets, so that its records' names fit as well");
        return Err(DomainError::Name(long));
    }
    let (unicode, _) = idna::domain_to_unicode(name.as_str());
    let is_mixed = |label: &&str| label.detect_restriction_level() > RestrictionLevel::HighlyRestrictive;
    match unicode.split('.').find(is_mixed) {
        None => Ok(name),
        Some(_) => Err(DomainError::Name(
            "a label mixes letters of scripts that are not written together, so it could be taken for another name".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_of_one_script_is_taken_in_its_a_labels() {
        for (text, name) in [
            ("Example.COM", "example.com"),
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("пример.example", "xn--e1afmkfd.example"),
            ("例え.example", "xn--r8jz45g.example"),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_is_as_long_as_its_records_names_allow() {
        let long = |labels: usize, last: &str| format!("{}{last}", "a.".repeat(labels));
        assert_eq!(parse(&long(115, "example")).unwrap().as_str().len(), 237);
        for (octets, name) in [(238, long(115, "examples")), (253, long(123, "example"))] {
            assert_eq!(name.len(), octets);
            assert!(
                matches!(parse(&name), Err(DomainError::Name(why)) if why.contains("237")),
                "{octets}"
            );
        }
    }

    #[test]
    fn a_name_that_looks_like_another_is_refused() {
        for text in [
            "pаypal.example",
            "xn--pypal-4ve.example",
            "gооgle.example",
            "aррle.example",
            "localhost",
            "192.0.2.1",
            "a..example",
            "xn--0049.example",
        ] {
            assert!(matches!(parse(text), Err(DomainError::Name(_))), "{text}");
        }
    }
}
