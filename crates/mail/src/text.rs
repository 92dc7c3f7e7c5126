//! Which characters may stand in text that ends up in a header.

/// Whether `c` ends a line, or is a control character some reader treats as one.
///
/// Beside C0 and C1 controls (U+0085 is among them) these are the two Unicode separators that
/// language runtimes split lines at. The tab counts as a control here; callers that allow it say so.
pub(crate) fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether `c` changes the direction of the text around it, so that `fdp.exe` reads `exe.pdf`.
pub(crate) fn overrides_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether `c` shows nothing, so that two different strings look the same.
pub(crate) fn is_invisible(c: char) -> bool {
    overrides_direction(c)
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2065}'
            | '\u{206A}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

/// RFC 5322 §3.2.3 `atext`: what an unquoted word is made of.
pub(crate) fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

/// Appends `content` between quotes, escaping as RFC 5322 §3.2.4 asks.
pub(crate) fn push_quoted(out: &mut String, content: &str) {
    out.push('"');
    for c in content.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Splits a string that begins with a quote into the quoted content, unescaped, and what follows.
///
/// `None` when it doesn't begin with a quote or the quote is never closed.
pub(crate) fn split_quoted(input: &str) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut chars = input.strip_prefix('"')?.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some((content, chars.as_str())),
            '\\' => content.push(chars.next()?),
            _ => content.push(c),
        }
    }
    None
}
