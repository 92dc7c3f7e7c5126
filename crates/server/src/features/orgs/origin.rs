//! Web origins, as browsers send them.

/// Characters of a host name, and of each of its labels (RFC 1035 §2.3.4).
const HOST_CHARS_MAX: usize = 253;
const LABEL_CHARS_MAX: usize = 63;

/// Whether a text is an origin (RFC 6454 §6.2) to the letter: lower case, no default port, nothing after it. What no browser sends would
/// be listed in vain, and its author would look for the mistake elsewhere. Without TLS only the developer's own machine.
pub(super) fn is_origin(text: &str) -> bool {
    let (default_port, authority) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (443, rest),
        (None, Some(rest)) => (80, rest),
        (None, None) => return false,
    };
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_port = |port: &str| {
        port.parse::<u16>()
            .is_ok_and(|number| number != 0 && number != default_port && number.to_string() == port)
    };
    is_host(host) && port.is_none_or(is_port) && (default_port == 443 || host == "localhost")
}

/// Labels of letters, digits and inner hyphens (RFC 1123 §2.1); what ends in a number is an IPv4 address and nothing else (WHATWG URL §3.5).
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.bytes().all(is_good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit()) || label.starts_with("0x");
    host.len() <= HOST_CHARS_MAX
        && host.split('.').all(is_label)
        && (!host.rsplit('.').next().is_some_and(is_number) || host.parse::<std::net::Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends_and_nothing_near_it() {
        for (text, is_good) in [
            ("https://app.example.com", true),
            ("https://app.example.com:8443", true),
            ("https://app.example.com:80", true),
            ("https://xn--bcher-kva.example", true),
            ("https://a--b.example", true),
            ("https://203.0.113.7", true),
            ("http://localhost", true),
            ("http://localhost:3000", true),
            ("http://localhost:443", true),
            ("http://app.example.com", false),
            ("https://app.example.com/", false),
            ("https://app.example.com:443", false),
            ("https://app.example.com:0443", false),
            ("https://app.example.com:0", false),
            ("https://app.example.com:65536", false),
            ("http://localhost:80", false),
            ("https://App.example.com", false),
            ("https://*.example.com", false),
            ("https://user@app.example.com", false),
            ("https://-", false),
            ("https://-app.example.com", false),
            ("https://app-.example.com", false),
            ("https://app.example.-", false),
            ("https://app..example.com", false),
            ("https://app.example.com.", false),
            ("https://a_b.example.com", false),
            ("https://203.0.113", false),
            ("https://203.0.113.256", false),
            ("https://0x7f.0.0.0x1", false),
            ("https://", false),
            ("null", false),
            ("*", false),
        ] {
            assert_eq!(is_origin(text), is_good, "{text}");
        }
        let label = "a".repeat(LABEL_CHARS_MAX);
        assert!(is_origin(&format!("https://{label}.example")));
        assert!(!is_origin(&format!("https://{label}a.example")));
        assert!(!is_origin(&format!("https://{label}.{label}.{label}.{label}")));
    }
}
