//! The language of templates: a part of Handlebars that can't hang, grow or inject.
//!
//! A [`Template`] is parsed once, then rendered with a [`Value`] under a [`Budget`]. There is nothing in the language that repeats without
//! data to repeat for, nothing that calls itself, and each step, each octet written and each text made on the way is counted, so that
//! hostile templates and hostile values end in a [`TemplateError`].
//!
//! Values are written for the place that they stand in: parsing follows the HTML around each tag, so text is escaped as text, a link keeps
//! to schemes that only lead somewhere, and a value in a style can't leave its property. Places where no writing is safe (scripts, names of
//! tags, attributes without quotes) are refused when the template is parsed. Subjects stay on one line.
//!
//! ```
//! use sealwright_mail::template::{Budget, Kind, Template, Value};
//!
//! let template = Template::parse("Hello {{name|default:\"you\"}}", Kind::Text).unwrap();
//! let data = Value::Map([("name".to_owned(), Value::from("Ada"))].into());
//! assert_eq!(template.render(&data, &mut Budget::default()).unwrap(), "Hello Ada");
//! ```

mod context;
mod escape;
mod expression;
mod format;
mod function;
mod lex;
mod parse;
mod render;
mod value;

pub use value::Value;

use std::collections::BTreeSet;

/// Bytes of a template.
pub const SOURCE_BYTES_MAX: usize = 1024 * 1024;
/// Tags of a template.
pub const TAGS_MAX: usize = 10_000;
/// Bytes of one tag; comments may be longer.
pub const TAG_BYTES_MAX: usize = 1024;
/// Blocks, and expressions, within each other.
pub const DEPTH_MAX: usize = 32;
/// Steps of a rendering: a piece of text, a tag, a round of a loop, a part of an expression, and every 256 bytes looked at.
pub const STEPS_MAX: u64 = 100_000;
/// Bytes that a rendering writes.
pub const OUTPUT_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Bytes of texts that a rendering makes on its way.
pub const MADE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which part of a mail a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The HTML part, or the AMP part.
    Html,
    /// The text part.
    Text,
    /// The subject: one line.
    Subject,
}

/// A place in a source, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character of the line.
    pub column: u32,
}

impl Position {
    fn refuse(self, reason: impl Into<String>) -> TemplateError {
        TemplateError {
            at: self,
            reason: reason.into(),
        }
    }
}

/// Why a template can't be read or rendered: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {reason}", at.line, at.column)]
pub struct TemplateError {
    /// Where.
    pub at: Position,
    /// What is wrong and what to do; never a value.
    pub reason: String,
}

/// What is left of a rendering's means. Several renderings may share one.
#[derive(Debug, Clone)]
pub struct Budget {
    steps: u64,
    output: usize,
    made: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: STEPS_MAX,
            output: OUTPUT_BYTES_MAX,
            made: MADE_BYTES_MAX,
        }
    }
}

/// A template that was read.
#[derive(Debug, Clone)]
pub struct Template {
    kind: Kind,
    nodes: Vec<parse::Node>,
    names: BTreeSet<String>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first thing in it that the language doesn't have, or that is not safe where it stands.
    pub fn parse(source: &str, kind: Kind) -> Result<Self, TemplateError> {
        let start = Position { line: 1, column: 1 };
        if source.len() > SOURCE_BYTES_MAX {
            return Err(start.refuse(format!("a template has at most {SOURCE_BYTES_MAX} bytes")));
        }
        let (mut nodes, names) = parse::nodes(lex::tokens(source)?)?;
        context::assign(&mut nodes, kind)?;
        Ok(Self { kind, nodes, names })
    }

    /// The names of the values that it uses, sorted; of a name with dots the first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Writes it with these values. What is missing is written as nothing.
    ///
    /// # Errors
    /// A value that can't be written where it is used, or means that are spent.
    pub fn render(&self, data: &Value, budget: &mut Budget) -> Result<String, TemplateError> {
        let text = render::render(&self.nodes, data, budget)?;
        Ok(match self.kind {
            Kind::Html | Kind::Text => text,
            Kind::Subject => escape::one_line(&text),
        })
    }
}
