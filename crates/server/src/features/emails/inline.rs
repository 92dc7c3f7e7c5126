//! Style sheets written into the elements that they style, for readers that drop style sheets.
//!
//! Nothing is fetched: the crate is built without a way to, and links to style sheets stay as they are. What it costs grows with sheets
//! times elements, so that product is bounded before it begins.

use super::text::{DEPTH_MAX, depth_bound};
use crate::limits::{INLINED_BYTES_MAX, INLINING_COST_MAX};
use css_inline::CSSInliner;

/// The HTML with its styles in its elements; `None` when it is too large, too deep, or styled by too much. Rules that only a style sheet can
/// have, such as those for narrow screens, stay in it.
pub(super) fn styles(html: &str) -> Option<String> {
    if html.len() > INLINED_BYTES_MAX || depth_bound(html) > DEPTH_MAX || cost(html) > INLINING_COST_MAX {
        return None;
    }
    let inliner = CSSInliner::options()
        .load_remote_stylesheets(false)
        .keep_style_tags(true)
        .keep_link_tags(true)
        .build();
    inliner.inline(html).ok()
}

/// Bytes of style sheets times elements.
fn cost(html: &str) -> usize {
    let lower = html.to_ascii_lowercase();
    let sheets = lower.split("<style").skip(1);
    let bytes: usize = sheets
        .map(|sheet| sheet.find("</style").unwrap_or(sheet.len()))
        .sum();
    bytes.saturating_mul(html.matches('<').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_move_into_their_elements_and_media_rules_stay() {
        let html = "<style>p{color:red} @media (max-width:9px){p{color:blue}}</style><p>Hi</p>";
        let inlined = styles(html).unwrap_or_default();
        assert!(
            inlined.contains("<p style=\"color: red;\">") || inlined.contains("<p style=\"color:red\">"),
            "{inlined}"
        );
        assert!(inlined.contains("@media"), "{inlined}");
    }

    #[test]
    fn nothing_is_fetched_or_read() {
        let html = "<link rel=\"stylesheet\" href=\"file:///etc/passwd\"><link rel=\"stylesheet\" href=\"https://a.example/a.css\"><p>Hi</p>";
        let inlined = styles(html).unwrap_or_default();
        assert!(
            inlined.contains("href=\"file:///etc/passwd\"") && !inlined.contains("root:"),
            "{inlined}"
        );
    }

    #[test]
    fn what_would_cost_too_much_is_not_begun() {
        let rules = "p>a{color:red}".repeat(4_000);
        assert!(styles(&format!("<style>{rules}</style>{}", "<p>x".repeat(4_000))).is_none());
        assert!(styles(&"<div>".repeat(5_000)).is_none());
        assert!(styles(&"x".repeat(INLINED_BYTES_MAX + 1)).is_none());
    }
}
