//! From source to text and tags.
//!
//! White space goes where Handlebars takes it away: beside `{{~` and `~}}`, and with a line that has nothing on it but one block tag or
//! comment.

use super::{Position, TAG_BYTES_MAX, TAGS_MAX, TemplateError};

/// A piece of the source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'s> {
    Text(&'s str),
    Tag(Tag<'s>),
}

/// What stands between braces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag<'s> {
    pub(super) sigil: Sigil,
    pub(super) inner: &'s str,
    pub(super) at: Position,
    trims: (bool, bool),
}

/// What a tag is, by how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sigil {
    Output,
    Raw,
    Open,
    Else,
    Close,
    Comment,
}

/// Splits a source; empty text is left out.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut cursor = Cursor {
        rest: source,
        at: Position { line: 1, column: 1 },
    };
    while let Some(start) = cursor.rest.find("{{") {
        let before = cursor.rest.get(..start).unwrap_or_default();
        if let Some(text) = before.strip_suffix('\\') {
            // Written out as it stands, without the backslash.
            pieces.push(Token::Text(text));
            cursor.take(start);
            pieces.push(Token::Text(cursor.take(2)));
            continue;
        }
        pieces.push(Token::Text(cursor.take(start)));
        if pieces.len() > 2 * TAGS_MAX {
            return Err(cursor
                .at
                .refuse(format!("a template has at most {TAGS_MAX} tags")));
        }
        pieces.push(Token::Tag(tag(&mut cursor)?));
    }
    pieces.push(Token::Text(cursor.rest));
    Ok(trimmed(pieces))
}

struct Cursor<'s> {
    rest: &'s str,
    at: Position,
}

impl<'s> Cursor<'s> {
    /// Takes so many bytes, which end between two characters.
    fn take(&mut self, bytes: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        for c in taken.chars() {
            self.at = match c {
                '\n' => Position {
                    line: self.at.line.saturating_add(1),
                    column: 1,
                },
                _ => Position {
                    column: self.at.column.saturating_add(1),
                    ..self.at
                },
            };
        }
        taken
    }
}

fn tag<'s>(cursor: &mut Cursor<'s>) -> Result<Tag<'s>, TemplateError> {
    let (at, rest) = (cursor.at, cursor.rest);
    let after_braces = rest.get(2..).unwrap_or_default();
    let (trims_before, opened) = match after_braces.strip_prefix('~') {
        Some(opened) => (true, opened),
        None => (false, after_braces),
    };
    let end = if opened.starts_with("!--") {
        "--"
    } else if opened.starts_with('{') {
        "}"
    } else {
        ""
    };
    let head = rest.len() - opened.len();
    let Some((inner, trims_after, closing)) = closed(opened, end) else {
        return Err(at.refuse(format!("this tag is not closed; end it with {end}}}}}")));
    };
    if inner.len() > TAG_BYTES_MAX && !opened.starts_with('!') {
        return Err(at.refuse(format!("a tag has at most {TAG_BYTES_MAX} bytes")));
    }
    cursor.take(head + inner.len() + closing);
    let (sigil, inner) = sigil(inner, at)?;
    Ok(Tag {
        sigil,
        inner,
        at,
        trims: (trims_before, trims_after),
    })
}

/// What comes before the first `end` with `}}` or `~}}`, whether the latter, and the length of the closing.
fn closed<'s>(opened: &'s str, end: &str) -> Option<(&'s str, bool, usize)> {
    let mut from = 0;
    while let Some(found) = opened.get(from..)?.find("}}") {
        let place = from + found;
        let inner = opened.get(..place)?;
        // The third brace of `}}}` belongs to the tag.
        if end == "}" {
            if opened.get(place + 2..)?.starts_with('}') {
                return Some((inner, false, 3));
            }
            if let Some(inner) = inner.strip_suffix("}~") {
                return Some((inner, true, 4));
            }
        } else {
            let (bare, trims) = inner
                .strip_suffix('~')
                .map_or((inner, false), |inner| (inner, true));
            if let Some(bare) = bare.strip_suffix(end)
                && (end.is_empty() || bare.len() >= 3)
            {
                return Some((bare, trims, end.len() + usize::from(trims) + 2));
            }
        }
        from = place + 1;
    }
    None
}

fn sigil(inner: &str, at: Position) -> Result<(Sigil, &str), TemplateError> {
    let of = |sigil, rest: &'_ str| (sigil, rest.len());
    let (sigil, left) = match inner.chars().next() {
        Some('!') => of(Sigil::Comment, ""),
        Some('{' | '&') => of(Sigil::Raw, inner.get(1..).unwrap_or_default()),
        Some('#') => of(Sigil::Open, inner.get(1..).unwrap_or_default()),
        Some('/') => of(Sigil::Close, inner.get(1..).unwrap_or_default()),
        Some('>') => {
            return Err(at.refuse("templates can't include others; write the part here"));
        }
        Some('^') => {
            return Err(at.refuse("write {{else}} or {{#unless …}} instead of {{^…}}"));
        }
        _ => {
            let word = inner.trim_start();
            match word.strip_prefix("else") {
                Some(rest) if rest.is_empty() || rest.starts_with(char::is_whitespace) => {
                    of(Sigil::Else, rest)
                }
                _ => of(Sigil::Output, inner),
            }
        }
    };
    Ok((sigil, inner.get(inner.len() - left..).unwrap_or_default().trim()))
}

/// Takes the white space away that is not meant to be written.
fn trimmed(pieces: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut cuts = vec![(Cut::None, Cut::None); pieces.len()];
    for (place, piece) in pieces.iter().enumerate() {
        let Token::Tag(tag) = piece else { continue };
        let text = |place: Option<usize>| match place.and_then(|place| pieces.get(place)) {
            Some(Token::Text(text)) => Some(*text),
            _ => None,
        };
        let (before, after) = (text(place.checked_sub(1)), text(Some(place + 1)));
        let (is_first, is_last) = (place <= 1, place + 2 >= pieces.len());
        let is_alone = !matches!(tag.sigil, Sigil::Output | Sigil::Raw)
            && before.is_some_and(|text| ends_a_line(text, is_first))
            && after.is_some_and(|text| begins_a_line(text, is_last));
        let line = if is_alone { Cut::Line } else { Cut::None };
        let cut = |trims: bool| if trims { Cut::All } else { line };
        if let Some(cuts) = place.checked_sub(1).and_then(|place| cuts.get_mut(place)) {
            cuts.1 = cut(tag.trims.0);
        }
        if let Some(cuts) = cuts.get_mut(place + 1) {
            cuts.0 = cut(tag.trims.1);
        }
    }
    let kept = pieces
        .into_iter()
        .zip(cuts)
        .map(|(piece, (start, end))| match piece {
            Token::Text(text) => Token::Text(end.end_of(start.start_of(text))),
            tag @ Token::Tag(_) => tag,
        });
    kept.filter(|piece| *piece != Token::Text("")).collect()
}

#[derive(Clone, Copy)]
enum Cut {
    None,
    Line,
    All,
}

impl Cut {
    fn start_of(self, text: &str) -> &str {
        match self {
            Self::None => text,
            Self::All => text.trim_start(),
            Self::Line => match text.find('\n') {
                Some(end) => text.get(end + 1..).unwrap_or_default(),
                None => "",
            },
        }
    }

    fn end_of(self, text: &str) -> &str {
        match self {
            Self::None => text,
            Self::All => text.trim_end(),
            Self::Line => text.trim_end_matches([' ', '\t']),
        }
    }
}

fn ends_a_line(text: &str, is_first: bool) -> bool {
    let line = text.trim_end_matches([' ', '\t']);
    line.ends_with('\n') || (is_first && line.is_empty())
}

fn begins_a_line(text: &str, is_last: bool) -> bool {
    let rest = text.trim_start_matches([' ', '\t', '\r']);
    rest.starts_with('\n') || (is_last && rest.is_empty())
}
