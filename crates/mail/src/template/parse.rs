//! From tags to a tree.

use super::escape::Escape;
use super::expression::{self, Expression, Root};
use super::lex::{Sigil, Tag, Token};
use super::{DEPTH_MAX, Position, TemplateError};
use std::collections::BTreeSet;

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Output(Output),
    Block(Block),
}

/// A value to be written.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) value: Expression,
    pub(super) is_raw: bool,
    /// How, which its place decides.
    pub(super) escape: Escape,
    pub(super) at: Position,
}

/// A part that is written once, again and again, or not at all.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) word: BlockWord,
    pub(super) value: Expression,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
    pub(super) at: Position,
}

/// What a block does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockWord {
    If,
    Unless,
    Each,
    With,
}

impl BlockWord {
    const ALL: [BlockWord; 4] = [Self::If, Self::Unless, Self::Each, Self::With];

    fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::Unless => "unless",
            Self::Each => "each",
            Self::With => "with",
        }
    }

    /// Whether its body has values of its own.
    fn is_scope(self) -> bool {
        matches!(self, Self::Each | Self::With)
    }
}

struct Open {
    block: Block,
    in_otherwise: bool,
    /// Whether it was opened by `{{else if …}}` and closes with the block around it.
    is_chained: bool,
}

struct Parser {
    top: Vec<Node>,
    open: Vec<Open>,
    names: BTreeSet<String>,
}

/// The tree, and the names of values that it uses.
pub(super) fn nodes(tokens: Vec<Token<'_>>) -> Result<(Vec<Node>, BTreeSet<String>), TemplateError> {
    let mut parser = Parser {
        top: Vec::new(),
        open: Vec::new(),
        names: BTreeSet::new(),
    };
    for token in tokens {
        match token {
            Token::Text(text) => parser.push(Node::Text(text.to_owned())),
            Token::Tag(tag) => parser.tag(&tag)?,
        }
    }
    match parser.open.last() {
        None => Ok((parser.top, parser.names)),
        Some(Open { block, .. }) => {
            let word = block.word.name();
            Err(block
                .at
                .refuse(format!("this block is not closed; end it with {{{{/{word}}}}}")))
        }
    }
}

impl Parser {
    fn push(&mut self, node: Node) {
        let nodes = match self.open.last_mut() {
            None => &mut self.top,
            Some(open) if open.in_otherwise => &mut open.block.otherwise,
            Some(open) => &mut open.block.body,
        };
        nodes.push(node);
    }

    fn tag(&mut self, tag: &Tag<'_>) -> Result<(), TemplateError> {
        match tag.sigil {
            Sigil::Comment => Ok(()),
            Sigil::Output | Sigil::Raw => {
                let value = expression::parse(tag.inner, tag.at)?;
                self.note(&value);
                self.push(Node::Output(Output {
                    value,
                    is_raw: tag.sigil == Sigil::Raw,
                    escape: Escape::Nothing,
                    at: tag.at,
                }));
                Ok(())
            }
            Sigil::Open => self.open(tag, false),
            Sigil::Else => self.otherwise(tag),
            Sigil::Close => self.close(tag),
        }
    }

    fn open(&mut self, tag: &Tag<'_>, is_chained: bool) -> Result<(), TemplateError> {
        let end = tag.inner.find(char::is_whitespace).unwrap_or(tag.inner.len());
        let (name, rest) = tag.inner.split_at_checked(end).unwrap_or((tag.inner, ""));
        let Some(word) = BlockWord::ALL.into_iter().find(|word| word.name() == name) else {
            let reason = "there is no block of this name; there are #if, #unless, #each and #with";
            return Err(tag.at.refuse(reason));
        };
        if self.open.len() >= DEPTH_MAX {
            return Err(tag
                .at
                .refuse(format!("at most {DEPTH_MAX} blocks stand within each other")));
        }
        let value = expression::parse(rest, tag.at)?;
        self.note(&value);
        self.open.push(Open {
            block: Block {
                word,
                value,
                body: Vec::new(),
                otherwise: Vec::new(),
                at: tag.at,
            },
            in_otherwise: false,
            is_chained,
        });
        Ok(())
    }

    fn otherwise(&mut self, tag: &Tag<'_>) -> Result<(), TemplateError> {
        match self.open.last_mut() {
            Some(open) if !open.in_otherwise => open.in_otherwise = true,
            Some(_) => return Err(tag.at.refuse("this block has an {{else}} already")),
            None => return Err(tag.at.refuse("{{else}} stands outside of any block")),
        }
        if tag.inner.is_empty() {
            return Ok(());
        }
        self.open(tag, true)
    }

    fn close(&mut self, tag: &Tag<'_>) -> Result<(), TemplateError> {
        loop {
            let Some(open) = self.open.pop() else {
                return Err(tag.at.refuse("this closes a block that was not opened"));
            };
            if !open.is_chained && open.block.word.name() != tag.inner {
                let word = open.block.word.name();
                let line = open.block.at.line;
                return Err(tag.at.refuse(format!(
                    "the block open here is #{word} of line {line}; close it first"
                )));
            }
            let is_done = !open.is_chained;
            self.push(Node::Block(open.block));
            if is_done {
                return Ok(());
            }
        }
    }

    /// Notes the names that an expression takes from the values that the template is given.
    fn note(&mut self, expression: &Expression) {
        match expression {
            Expression::Literal(_) => {}
            Expression::Call(_, arguments) => arguments.iter().for_each(|argument| self.note(argument)),
            Expression::Path(path) => {
                let scopes = self
                    .open
                    .iter()
                    .filter(|open| open.block.word.is_scope() && !open.in_otherwise);
                let is_outermost = match path.root {
                    Root::Data => true,
                    Root::Up(up) => up == scopes.count(),
                    Root::Loop(_) => false,
                };
                if let Some(name) = path.fields.first().filter(|_| is_outermost) {
                    self.names.insert(name.clone());
                }
            }
        }
    }
}
