//! The text part of an e-mail that came with HTML only: plain words, links as numbered notes at the end.

use html2text::config;
use html2text::render::TextDecorator;

/// Width to which lines are wrapped; the addresses of links are not.
const WIDTH: usize = 76;

/// Text for receivers that don't show HTML; `None` when the HTML can't be laid out.
pub(super) fn of_html(html: &str) -> Option<String> {
    let config = config::with_decorator(Plain).link_footnotes(true);
    config.string_from_read(html.as_bytes(), WIDTH).ok()
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
        let html = format!("<h1>Hello</h1><p>Your <b>order</b>: <a href='https://a.example/{long}'>track it</a>.</p><ul><li>one</li></ul>");
        let text = of_html(&html).unwrap_or_default();
        assert!(text.contains("Hello\n"), "{text}");
        assert!(text.contains("Your order: track it [1]."), "{text}");
        assert!(text.contains(&format!("[1]: https://a.example/{long}\n")), "{text}");
        assert!(text.contains("- one"), "{text}");
    }

    #[test]
    fn hostile_html_is_laid_out_or_refused_but_does_not_end_the_process() {
        for html in ["<table>".repeat(2_000), "<div>".repeat(50_000), "<a".repeat(100_000), "<pre>\u{0}</pre>".into()] {
            // Either answer is fine; coming back is what counts.
            drop(std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || of_html(&html)).map(std::thread::JoinHandle::join));
        }
    }
}
