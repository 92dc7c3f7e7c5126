use super::HEADER_LINE_OCTETS;
use super::field::push_escaped;
use crate::text::push_quoted;

/// Octets of a section's value, so that ` filename*99*=utf-8''…;` stays within a line of 78.
const SECTION_OCTETS: usize = HEADER_LINE_OCTETS - 24;

/// Appends the `filename` parameter behind a disposition, each form on a line of its own.
///
/// Always a plain quoted form, for readers that know no other. For a name beyond ASCII the RFC 2231
/// form stands before it, in sections (§3) when it is long: readers that know both prefer it
/// wherever it stands, and those that take the first of two get the better one.
pub(crate) fn push_file_name(out: &mut Vec<u8>, name: &str) {
    // Some readers decode encoded-words even in a quoted parameter.
    let is_plain = name.is_ascii() && !name.contains("=?");
    let mut quoted = String::with_capacity(name.len() + 2);
    if is_plain {
        push_quoted(&mut quoted, name);
    } else {
        push_extended(out, name);
        let in_ascii = |c: char| if c.is_ascii() && c != '?' { c } else { '_' };
        push_quoted(&mut quoted, &name.chars().map(in_ascii).collect::<String>());
    }
    out.extend_from_slice(b";\r\n filename=");
    out.extend_from_slice(quoted.as_bytes());
}

fn push_extended(out: &mut Vec<u8>, name: &str) {
    let sections = escaped_sections(name);
    for (index, section) in sections.iter().enumerate() {
        let charset = if index == 0 { "utf-8''" } else { "" };
        let start = match sections.len() {
            1 => format!(";\r\n filename*={charset}"),
            _ => format!(";\r\n filename*{index}*={charset}"),
        };
        out.extend_from_slice(start.as_bytes());
        out.extend_from_slice(section);
    }
}

/// The name percent-encoded, cut between characters.
fn escaped_sections(name: &str) -> Vec<Vec<u8>> {
    let mut sections = Vec::new();
    let mut section = Vec::with_capacity(SECTION_OCTETS);
    for c in name.chars() {
        let before = section.len();
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            // RFC 2231 §7 `attribute-char`.
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`{}~".contains(&byte) {
                section.push(byte);
            } else {
                push_escaped(&mut section, b'%', byte);
            }
        }
        if section.len() > SECTION_OCTETS {
            let moved = section.split_off(before);
            sections.push(std::mem::replace(&mut section, moved));
        }
    }
    sections.push(section);
    sections
}
