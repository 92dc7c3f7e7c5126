//! The text part of an e-mail that came with HTML only: plain words, links as numbered notes at the end.

use html2text::config;
use html2text::render::TextDecorator;

/// Width to which lines are wrapped; the addresses of links are not.
const WIDTH: usize = 76;
/// Width of what is not wrapped.
const LINE_MAX: usize = 2_000;

/// Bytes of HTML from which text is derived; laying out costs far more than reading.
const BYTES_MAX: usize = 1024 * 1024;
/// Nested elements: the layout's cost grows with the square of the depth, and no letter of people is this deep.
pub(super) const DEPTH_MAX: usize = 100;

/// Text for receivers that don't show HTML; `None` when the HTML is too large, too deep, or can't be laid out.
pub(super) fn of_html(html: &str) -> Option<String> {
    if html.len() > BYTES_MAX || depth_bound(html) > DEPTH_MAX {
        return None;
    }
    let config = config::with_decorator(Plain)
        .link_footnotes(true)
        .max_wrap_width(WIDTH);
    config.string_from_read(html.as_bytes(), LINE_MAX).ok()
}

/// Elements that never hold another of their kind: void ones, and those that the next one of their kind ends (HTML, section 13.1.2).
const FLAT: [&str; 33] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr", "p", "li", "dt", "dd", "td", "th", "tr", "thead", "tbody", "tfoot", "colgroup", "caption",
    "option", "optgroup", "rt", "rp", "html", "head", "body",
];

/// At least the depth of the tree that a parser makes of this: opened and not yet closed elements, wherever they stand.
pub(super) fn depth_bound(html: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for tag in html.split('<').skip(1) {
        let is_end = tag.starts_with('/');
        let name = tag.strip_prefix('/').unwrap_or(tag);
        let name = name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        if name.is_empty() || FLAT.iter().any(|flat| flat.eq_ignore_ascii_case(name)) {
            continue;
        }
        depth = if is_end {
            depth.saturating_sub(1)
        } else {
            depth + 1
        };
        deepest = deepest.max(depth);
    }
    deepest
}

/// Marks nothing but links, lists and quotes.
#[derive(Clone, Debug)]
struct Plain;

fn nothing() -> (String, ()) {
    (String::new(), ())
}

impl TextDecorator for Plain {
    type Annotation = ();

    fn decorate_link_start(&mut self, _: &str) -> (String, ()) {
        nothing()
    }

    fn decorate_link_end(&mut self) -> String {
        " ".into()
    }

    fn decorate_em_start(&self) -> (String, ()) {
        nothing()
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        nothing()
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        nothing()
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        nothing()
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _: &str, title: &str) -> (String, ()) {
        (title.to_owned(), ())
    }

    fn header_prefix(&self, _: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".into()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".into()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_plain_and_links_become_notes() {
        let long = "x".repeat(120);
        let html = format!(
            "<h1>Hello</h1><p>Your <b>order</b>: <a href='https://a.example/{long}'>track it</a>.</p><ul><li>one</li></ul>"
        );
        let text = of_html(&html).unwrap_or_default();
        assert!(text.contains("Hello\n"), "{text}");
        assert!(text.contains("Your order: track it [1]."), "{text}");
        assert!(
            text.contains(&format!("[1]: https://a.example/{long}\n")),
            "{text}"
        );
        assert!(text.contains("- one"), "{text}");
    }

    #[test]
    fn deep_or_large_html_is_refused_before_it_costs_anything() {
        for html in [
            "<table><tr><td>".repeat(200),
            "<div>".repeat(50_000),
            "<b>".repeat(101),
            "<ul><li>".repeat(101),
            "x".repeat(BYTES_MAX + 1),
        ] {
            assert_eq!(of_html(&html), None);
        }
        assert!(of_html(&"<p>one<br><li>two".repeat(1_000)).is_some());
        assert!(of_html(&"<div><b>x</b></div>".repeat(1_000)).is_some());
    }
}
