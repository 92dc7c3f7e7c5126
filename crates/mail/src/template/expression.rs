//! What stands in a tag: paths, literals, calls, and filters.

use super::function::Function;
use super::value::Value;
use super::{DEPTH_MAX, Position, TemplateError};

/// What comes to a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Path(Path),
    Literal(Value),
    Call(Function, Vec<Expression>),
}

/// A way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: Root,
    pub(super) fields: Vec<String>,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// The values of the block so many blocks out.
    Up(usize),
    /// All values.
    Data,
    /// `@index` and its kin.
    Loop(LoopWord),
}

/// What a loop knows of its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopWord {
    Index,
    Key,
    First,
    Last,
}

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Path(Path),
    Literal(Value),
    Open,
    Close,
    Pipe,
    Colon,
}

/// Reads an expression: `path`, `function a b`, either with `|function:a:b` behind it.
pub(super) fn parse(text: &str, at: Position) -> Result<Expression, TemplateError> {
    let mut words = words(text, at)?;
    words.reverse();
    let mut parser = Parser { words, at };
    let mut expression = parser.call(0)?;
    while let Some(word) = parser.words.pop() {
        if word != Word::Pipe {
            return Err(at.refuse("there is something behind the end of this expression"));
        }
        let name = match parser.words.pop() {
            Some(Word::Path(path)) => path,
            _ => return Err(at.refuse("a filter is missing behind |, such as |default:\"friend\"")),
        };
        let mut arguments = vec![expression];
        while parser.words.last() == Some(&Word::Colon) {
            parser.words.pop();
            arguments.push(parser.operand(0)?);
        }
        expression = Expression::Call(function(&name, at, arguments.len())?, arguments);
    }
    Ok(expression)
}

struct Parser {
    /// From the last to the first.
    words: Vec<Word>,
    at: Position,
}

impl Parser {
    fn call(&mut self, depth: usize) -> Result<Expression, TemplateError> {
        let first = self.operand(depth)?;
        let mut arguments = Vec::new();
        while let Some(Word::Path(_) | Word::Literal(_) | Word::Open) = self.words.last() {
            arguments.push(self.operand(depth)?);
        }
        match first {
            Expression::Path(name) if !arguments.is_empty() => {
                let function = function(&name, self.at, arguments.len())?;
                Ok(Expression::Call(function, arguments))
            }
            first if arguments.is_empty() => Ok(first),
            _ => Err(self.at.refuse("only functions take values behind them")),
        }
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, TemplateError> {
        if depth > DEPTH_MAX {
            return Err(self
                .at
                .refuse(format!("at most {DEPTH_MAX} parentheses stand within each other")));
        }
        match self.words.pop() {
            Some(Word::Path(path)) => Ok(Expression::Path(path)),
            Some(Word::Literal(value)) => Ok(Expression::Literal(value)),
            Some(Word::Open) => {
                let inner = self.call(depth + 1)?;
                match self.words.pop() {
                    Some(Word::Close) => Ok(inner),
                    _ => Err(self.at.refuse("a parenthesis is not closed")),
                }
            }
            _ => Err(self.at.refuse("a name or a value is missing here")),
        }
    }
}

fn function(name: &Path, at: Position, arguments: usize) -> Result<Function, TemplateError> {
    let word = match (name.root, name.fields.as_slice()) {
        (Root::Up(0), [word]) => word.as_str(),
        _ => "",
    };
    let Some(function) = Function::parse(word) else {
        let known = Function::ALL.map(Function::name).join(", ");
        return Err(at.refuse(format!("there is no function of this name; there are {known}")));
    };
    let (min, max) = function.arguments();
    if !(min..=max).contains(&arguments) {
        let reason = format!("{word} takes {min} to {max} values, here are {arguments}");
        return Err(at.refuse(reason));
    }
    Ok(function)
}

fn words(text: &str, at: Position) -> Result<Vec<Word>, TemplateError> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, left) = match first {
            '(' => (Word::Open, rest.get(1..).unwrap_or_default()),
            ')' => (Word::Close, rest.get(1..).unwrap_or_default()),
            '|' => (Word::Pipe, rest.get(1..).unwrap_or_default()),
            ':' => (Word::Colon, rest.get(1..).unwrap_or_default()),
            quote @ ('"' | '\'') => {
                let inner = rest.get(1..).unwrap_or_default();
                let Some((text, left)) = inner.split_once(quote) else {
                    return Err(at.refuse("a text is not closed by its quote"));
                };
                (Word::Literal(Value::from(text)), left)
            }
            _ => {
                let end = end_of_word(rest);
                let (word, left) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (bare(word, at)?, left)
            }
        };
        words.push(word);
        rest = left.trim_start();
    }
    Ok(words)
}

fn end_of_word(text: &str) -> usize {
    let mut in_brackets = false;
    for (place, c) in text.char_indices() {
        match c {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            c if !in_brackets && (c.is_whitespace() || "()|:\"'".contains(c)) => return place,
            _ => {}
        }
    }
    text.len()
}

fn bare(word: &str, at: Position) -> Result<Word, TemplateError> {
    let literal = match word {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "null" | "undefined" => Some(Value::Null),
        _ if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') => number(word),
        _ => None,
    };
    match literal {
        Some(value) => Ok(Word::Literal(value)),
        None => Ok(Word::Path(path(word, at)?)),
    }
}

fn number(word: &str) -> Option<Value> {
    if let Ok(number) = word.parse::<i64>() {
        return Some(Value::Int(number));
    }
    let is_plain = word.chars().all(|c| c.is_ascii_digit() || "-.".contains(c));
    word.parse().ok().filter(|_| is_plain).map(Value::Float)
}

fn path(word: &str, at: Position) -> Result<Path, TemplateError> {
    let refused = || {
        at.refuse("this is no name; names are like user.name, ../name, items.0, this, @index, @root.name or [a name]")
    };
    if let Some(word) = word.strip_prefix('@') {
        let (root, rest) = match word.split_once('.') {
            Some((root, rest)) => (root, Some(rest)),
            None => (word, None),
        };
        let root = match root {
            "root" => Root::Data,
            "index" => Root::Loop(LoopWord::Index),
            "key" => Root::Loop(LoopWord::Key),
            "first" => Root::Loop(LoopWord::First),
            "last" => Root::Loop(LoopWord::Last),
            _ => return Err(refused()),
        };
        let fields = rest.map_or(Some(Vec::new()), fields).ok_or_else(refused)?;
        return Ok(Path { root, fields });
    }
    let (mut up, mut rest) = (0, word);
    while let Some(left) = rest.strip_prefix("../") {
        (up, rest) = (up + 1, left);
    }
    rest = match rest {
        ".." => {
            up += 1;
            ""
        }
        "this" | "." | "" => "",
        _ => rest
            .strip_prefix("this.")
            .or_else(|| rest.strip_prefix("this/"))
            .or_else(|| rest.strip_prefix("./"))
            .unwrap_or(rest),
    };
    let fields = match rest {
        "" => Vec::new(),
        _ => fields(rest).ok_or_else(refused)?,
    };
    Ok(Path {
        root: Root::Up(up),
        fields,
    })
}

/// `a.b.[c d].0`
fn fields(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, left) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => rest.split_at_checked(rest.find(['.', '/', '[']).unwrap_or(rest.len()))?,
        };
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
        if field.is_empty() || !(rest.starts_with('[') || field.chars().all(fits)) {
            return None;
        }
        fields.push(field.to_owned());
        rest = match left.strip_prefix('.') {
            Some(left) => left,
            None if left.is_empty() => return Some(fields),
            None => return None,
        };
    }
}
