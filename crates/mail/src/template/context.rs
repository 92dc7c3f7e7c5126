//! Which place of the HTML a tag stands in, told from the text around it.
//!
//! The scanner reads a template's text the way a browser's tokenizer would (HTML, section 13.2.5), as far as it matters for what values can
//! do. Where ways part (`#if`, `#each`), they have to come together in the same place, or nobody could say how to write what follows.

use super::escape::{Escape, SCHEMES};
use super::parse::{BlockWord, Node};
use super::{Kind, TemplateError};

/// Attributes whose value is a link.
const LINKS: [&str; 12] = [
    "href",
    "src",
    "action",
    "formaction",
    "background",
    "poster",
    "cite",
    "data",
    "longdesc",
    "xlink:href",
    "srcset",
    "ping",
];
/// Letters of a name that are looked at; no name that matters is longer.
const NAME_CHARS_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Text,
    /// Behind `<`.
    TagName(String),
    /// Between attributes of this element.
    Tag(String),
    AttributeName(String, String),
    /// Behind the name of an attribute, before `=`.
    AfterName(String, String),
    /// Behind `=`.
    BeforeValue(String, String),
    Value {
        element: String,
        attribute: Attribute,
        /// None without quotes.
        quote: Option<u8>,
    },
    /// `<!…>`, which conditional comments are, too: what is in those is shown by some readers.
    Markup(String),
    /// A comment, with its end so far.
    Comment(String),
    /// In an element that holds no others, with its end tag so far.
    Bare(Bare, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bare {
    Style,
    Script,
    Title,
    Textarea,
}

impl Bare {
    const ALL: [Bare; 4] = [Self::Style, Self::Script, Self::Title, Self::Textarea];

    fn name(self) -> &'static str {
        match self {
            Self::Style => "style",
            Self::Script => "script",
            Self::Title => "title",
            Self::Textarea => "textarea",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Attribute {
    Plain,
    Style,
    Script,
    Link(Link),
}

/// How far a link has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    Start,
    /// Letters that may be its scheme.
    Head(String),
    /// Something that may be its scheme, with a value in it.
    Unknown,
    Path,
    Query,
    /// Behind a scheme that is a value, or that runs what follows.
    Forbidden,
}

/// Decides for each output of a template how it is written.
pub(super) fn assign(nodes: &mut [Node], kind: Kind) -> Result<(), TemplateError> {
    match kind {
        Kind::Text | Kind::Subject => Ok(()),
        Kind::Html => walk(nodes, Place::Text).map(drop),
    }
}

fn walk(nodes: &mut [Node], mut place: Place) -> Result<Place, TemplateError> {
    for node in nodes {
        place = match node {
            Node::Text(text) => text.bytes().fold(place, Place::after),
            Node::Output(output) => {
                let (escape, next) = place.write().map_err(|reason| output.at.refuse(reason))?;
                let is_raw = output.is_raw && escape == Escape::Html && next == Place::Text;
                output.escape = if is_raw { Escape::Nothing } else { escape };
                next
            }
            Node::Block(block) => {
                let body = walk(&mut block.body, place.clone())?;
                let otherwise = walk(&mut block.otherwise, place.clone())?;
                let is_loop = block.word == BlockWord::Each;
                let met = join(body.clone(), otherwise).filter(|_| !is_loop || body == place);
                met.ok_or_else(|| {
                    block.at.refuse("the ways through this block end in different places of the HTML; let each of them close what it opens")
                })?
            }
        };
    }
    Ok(place)
}

/// Where two ways come together. What follows in a link is written for the stricter of two places.
fn join(one: Place, other: Place) -> Option<Place> {
    use Link::{Path, Query};
    if one == other {
        return Some(one);
    }
    match (one, other) {
        (
            Place::Value {
                element,
                attribute: Attribute::Link(one),
                quote,
            },
            Place::Value {
                attribute: Attribute::Link(other),
                quote: other_quote,
                ..
            },
        ) if quote == other_quote && matches!((&one, &other), (Path, Query) | (Query, Path)) => {
            Some(Place::Value {
                element,
                attribute: Attribute::Link(Query),
                quote,
            })
        }
        _ => None,
    }
}

impl Place {
    /// How a value is written here, and where it leaves us.
    fn write(self) -> Result<(Escape, Place), &'static str> {
        match self {
            Self::Text | Self::Comment(_) | Self::Bare(Bare::Title | Bare::Textarea, _) => {
                let next = match self {
                    // A value holds no end of it.
                    Self::Comment(_) => Self::Comment(String::new()),
                    Self::Bare(bare, _) => Self::Bare(bare, String::new()),
                    text => text,
                };
                Ok((Escape::Html, next))
            }
            Self::Bare(Bare::Style, _) => Ok((Escape::Style, Self::Bare(Bare::Style, String::new()))),
            Self::Bare(Bare::Script, _) => {
                Err("values can't be written into scripts, which no mail program runs")
            }
            Self::TagName(_) | Self::Tag(_) | Self::AttributeName(..) | Self::AfterName(..) => Err(
                "a value can't be the name of a tag or of an attribute; write the name, and values between quotes behind it",
            ),
            Self::BeforeValue(..) | Self::Value { quote: None, .. } => {
                Err("put quotes around the value of this attribute")
            }
            Self::Markup(_) => Err("a value can't stand in a declaration or the condition of a comment"),
            Self::Value {
                element,
                attribute,
                quote,
            } => {
                let (escape, attribute) = attribute.write()?;
                Ok((
                    escape,
                    Self::Value {
                        element,
                        attribute,
                        quote,
                    },
                ))
            }
        }
    }

    /// Where one more byte leads.
    fn after(self, byte: u8) -> Place {
        let letter = char::from(byte.to_ascii_lowercase());
        match self {
            Self::Text if byte == b'<' => Self::TagName(String::new()),
            Self::Text => Self::Text,
            Self::TagName(name) => after_tag_name(name, byte, letter),
            Self::Tag(element) => match byte {
                b'>' => content(&element),
                byte if byte.is_ascii_whitespace() || byte == b'/' => Self::Tag(element),
                _ => Self::AttributeName(element, letter.to_string()),
            },
            Self::AttributeName(element, name) => match byte {
                b'=' => Self::BeforeValue(element, name),
                b'>' => content(&element),
                b'/' => Self::Tag(element),
                byte if byte.is_ascii_whitespace() => Self::AfterName(element, name),
                _ => Self::AttributeName(element, longer(name, letter)),
            },
            Self::AfterName(element, name) => match byte {
                b'=' => Self::BeforeValue(element, name),
                b'>' => content(&element),
                b'/' => Self::Tag(element),
                byte if byte.is_ascii_whitespace() => Self::AfterName(element, name),
                _ => Self::AttributeName(element, letter.to_string()),
            },
            Self::BeforeValue(element, name) => before_value(element, name, byte),
            Self::Value {
                element,
                attribute,
                quote,
            } => in_value(element, attribute, quote, byte),
            Self::Markup(so_far) => match byte {
                b'>' => Self::Text,
                b'-' if so_far == "-" => Self::Comment("<".to_owned()),
                _ => Self::Markup(if so_far.is_empty() {
                    letter.to_string()
                } else {
                    "…".to_owned()
                }),
            },
            Self::Comment(end) => after_comment(&end, byte),
            Self::Bare(bare, end) => after_bare(bare, end, letter),
        }
    }
}

impl Attribute {
    fn of(name: &str) -> Self {
        match name {
            "style" => Self::Style,
            "srcdoc" => Self::Script,
            name if name.starts_with("on") => Self::Script,
            name if LINKS.contains(&name) => Self::Link(Link::Start),
            _ => Self::Plain,
        }
    }

    fn write(self) -> Result<(Escape, Self), &'static str> {
        Ok(match self {
            Self::Plain => (Escape::Html, Self::Plain),
            Self::Style => (Escape::Style, Self::Style),
            Self::Script => return Err("values can't be written into scripts, which no mail program runs"),
            Self::Link(link) => {
                let (escape, link) = match link {
                    Link::Start => (Escape::Link, Link::Unknown),
                    Link::Head(_) | Link::Unknown => (Escape::LinkHead, Link::Unknown),
                    Link::Path => (Escape::LinkPath, Link::Path),
                    Link::Query => (Escape::LinkQuery, Link::Query),
                    Link::Forbidden => {
                        return Err(
                            "the scheme of a link with values has to be written out, and be http, https, mailto, tel, sms or cid",
                        );
                    }
                };
                (escape, Self::Link(link))
            }
        })
    }
}

fn longer(mut name: String, letter: char) -> String {
    if name.len() < NAME_CHARS_MAX {
        name.push(letter);
    }
    name
}

fn after_tag_name(name: String, byte: u8, letter: char) -> Place {
    match byte {
        b'!' | b'?' if name.is_empty() => Place::Markup(String::new()),
        b'/' if name.is_empty() => Place::TagName("/".to_owned()),
        byte if name.trim_start_matches('/').is_empty() && !byte.is_ascii_alphabetic() => match byte {
            // `< 5` is text.
            b'<' => Place::TagName(String::new()),
            _ => Place::Text,
        },
        b'>' => content(&name),
        byte if byte.is_ascii_whitespace() || byte == b'/' => Place::Tag(name),
        _ => Place::TagName(longer(name, letter)),
    }
}

/// Where an element's start tag leads.
fn content(element: &str) -> Place {
    match Bare::ALL.into_iter().find(|bare| bare.name() == element) {
        Some(bare) => Place::Bare(bare, String::new()),
        None => Place::Text,
    }
}

fn before_value(element: String, name: String, byte: u8) -> Place {
    match byte {
        b'>' => content(&element),
        byte if byte.is_ascii_whitespace() => Place::BeforeValue(element, name),
        b'"' | b'\'' => Place::Value {
            attribute: Attribute::of(&name),
            element,
            quote: Some(byte),
        },
        _ => in_value(element, Attribute::of(&name), None, byte),
    }
}

fn in_value(element: String, attribute: Attribute, quote: Option<u8>, byte: u8) -> Place {
    match quote {
        Some(quote) if byte == quote => return Place::Tag(element),
        None if byte == b'>' => return content(&element),
        None if byte.is_ascii_whitespace() => return Place::Tag(element),
        _ => {}
    }
    let attribute = match attribute {
        Attribute::Link(link) => Attribute::Link(link.after(byte)),
        other => other,
    };
    Place::Value {
        element,
        attribute,
        quote,
    }
}

impl Link {
    fn after(self, byte: u8) -> Link {
        match (self, byte) {
            (Self::Start, byte) if byte.is_ascii_whitespace() => Self::Start,
            (Self::Query, _) | (_, b'?' | b'#') => Self::Query,
            // Behind a whole link that is a value there may be a query already.
            (Self::Unknown, b'&' | b'=') => Self::Query,
            (Self::Path, _) | (_, b'/') => Self::Path,
            // The author's own scheme: a value behind another one might be run.
            (Self::Head(scheme), b':') if SCHEMES.contains(&scheme.as_str()) => Self::Path,
            (Self::Start | Self::Head(_) | Self::Unknown, b':') => Self::Forbidden,
            (Self::Forbidden, _) => Self::Forbidden,
            (Self::Start, byte) => Self::Head(char::from(byte.to_ascii_lowercase()).to_string()),
            (Self::Head(head), byte) => Self::Head(longer(head, char::from(byte.to_ascii_lowercase()))),
            (Self::Unknown, _) => Self::Unknown,
        }
    }
}

/// `end` is what has been seen of `-->`, or `<` at the beginning: a condition there makes HTML of what follows, to those whom it is for.
fn after_comment(end: &str, byte: u8) -> Place {
    match (end, byte) {
        ("<", b'[') => Place::Markup("[".to_owned()),
        ("<" | "<-" | "--", b'>') => Place::Text,
        ("<", b'-') => Place::Comment("<-".to_owned()),
        ("-" | "<-" | "--", b'-') => Place::Comment("--".to_owned()),
        (_, b'-') => Place::Comment("-".to_owned()),
        _ => Place::Comment(String::new()),
    }
}

fn after_bare(bare: Bare, end: String, letter: char) -> Place {
    let name = bare.name();
    let mut seen = end;
    seen.push(letter);
    if let Some(ended) = seen.strip_prefix("</")
        && let Some(behind) = ended.strip_prefix(name)
        && let Some(first) = behind.chars().next()
    {
        return match first {
            '>' => Place::Text,
            '/' | ' ' | '\t' | '\n' | '\r' | '\u{c}' => Place::Tag(format!("/{name}")),
            _ => Place::Bare(bare, String::new()),
        };
    }
    let whole = format!("</{name}");
    if whole.starts_with(&seen) {
        return Place::Bare(bare, seen);
    }
    let again = if letter == '<' {
        "<".to_owned()
    } else {
        String::new()
    };
    Place::Bare(bare, again)
}
