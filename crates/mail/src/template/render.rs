//! From a tree and values to text, within a budget.

use super::expression::{Expression, LoopWord, Path, Root};
use super::function::{self, Function};
use super::parse::{Block, BlockWord, Node, Output};
use super::value::Value;
use super::{Budget, DEPTH_MAX, MADE_BYTES_MAX, OUTPUT_BYTES_MAX, Position, STEPS_MAX, TemplateError};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Bytes that are looked at for one step.
const BYTES_PER_STEP: usize = 256;

/// The values of a block, and what its loop knows.
#[derive(Clone, Copy)]
struct Scope<'d> {
    value: &'d Value,
    round: Option<Round<'d>>,
}

#[derive(Clone, Copy)]
struct Round<'d> {
    index: usize,
    key: Option<&'d str>,
    is_last: bool,
}

struct Renderer<'d, 'b> {
    data: &'d Value,
    scopes: Vec<Scope<'d>>,
    out: String,
    budget: &'b mut Budget,
}

pub(super) fn render(nodes: &[Node], data: &Value, budget: &mut Budget) -> Result<String, TemplateError> {
    let mut renderer = Renderer {
        data,
        scopes: vec![Scope {
            value: data,
            round: None,
        }],
        out: String::new(),
        budget,
    };
    // What the template itself holds may be lent to blocks as their value, so it lives as long as the values do.
    renderer.nodes(nodes)?;
    Ok(renderer.out)
}

impl<'d> Renderer<'d, '_> {
    fn nodes(&mut self, nodes: &[Node]) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => {
                    let start = Position { line: 1, column: 1 };
                    self.look(text.len(), start)?;
                    self.out.push_str(text);
                    self.written(text.len(), start)?;
                }
                Node::Output(output) => self.output(output)?,
                Node::Block(block) => self.block(block)?,
            }
        }
        Ok(())
    }

    fn output(&mut self, output: &Output) -> Result<(), TemplateError> {
        let value = self.value(&output.value, output.at, 0)?;
        let text = match value.as_ref() {
            Value::Text(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(function::text(other).map_err(|reason| output.at.refuse(reason))?),
        };
        self.look(text.len(), output.at)?;
        let before = self.out.len();
        output.escape.push(&mut self.out, &text);
        self.written(self.out.len() - before, output.at)
    }

    fn block(&mut self, block: &Block) -> Result<(), TemplateError> {
        let value = self.value(&block.value, block.at, 0)?;
        match block.word {
            BlockWord::If if value.is_empty() => self.nodes(&block.otherwise),
            BlockWord::Unless if !value.is_empty() => self.nodes(&block.otherwise),
            BlockWord::If | BlockWord::Unless => self.nodes(&block.body),
            BlockWord::Each | BlockWord::With => match value {
                Cow::Borrowed(value) => self.scoped(block, value),
                // Only functions make values of their own, and they make texts, numbers and yes or no.
                Cow::Owned(value) if value.is_empty() => self.nodes(&block.otherwise),
                Cow::Owned(_) => Err(block
                    .at
                    .refuse("this block takes a list or an object by its name")),
            },
        }
    }

    fn scoped(&mut self, block: &Block, value: &'d Value) -> Result<(), TemplateError> {
        if value.is_empty()
            || matches!(value, Value::Map(map) if block.word == BlockWord::Each && map.is_empty())
        {
            return self.nodes(&block.otherwise);
        }
        match (block.word, value) {
            (BlockWord::Each, Value::List(list)) => {
                let rounds = list.iter().enumerate().map(|(index, value)| (index, None, value));
                self.rounds(block, list.len(), rounds)
            }
            (BlockWord::Each, Value::Map(map)) => {
                let rounds = map.iter().enumerate();
                let rounds = rounds.map(|(index, (key, value))| (index, Some(key.as_str()), value));
                self.rounds(block, map.len(), rounds)
            }
            (BlockWord::Each, other) => {
                let reason = format!("#each goes through a list or an object, this is {}", other.kind());
                Err(block.at.refuse(reason))
            }
            _ => self.within(block, Scope { value, round: None }),
        }
    }

    fn rounds(
        &mut self,
        block: &Block,
        count: usize,
        rounds: impl Iterator<Item = (usize, Option<&'d str>, &'d Value)>,
    ) -> Result<(), TemplateError> {
        for (index, key, value) in rounds {
            self.look(0, block.at)?;
            let is_last = index + 1 == count;
            let round = Some(Round { index, key, is_last });
            self.within(block, Scope { value, round })?;
        }
        Ok(())
    }

    fn within(&mut self, block: &Block, scope: Scope<'d>) -> Result<(), TemplateError> {
        self.scopes.push(scope);
        let done = self.nodes(&block.body);
        self.scopes.pop();
        done
    }

    /// A value; what is missing is null.
    fn value<'e>(
        &mut self,
        expression: &'e Expression,
        at: Position,
        depth: usize,
    ) -> Result<Cow<'d, Value>, TemplateError> {
        self.look(0, at)?;
        if depth > 2 * DEPTH_MAX {
            return Err(at.refuse(format!("at most {DEPTH_MAX} functions stand within each other")));
        }
        match expression {
            Expression::Literal(value) => {
                self.made(value, at)?;
                Ok(Cow::Owned(value.clone()))
            }
            Expression::Path(path) => Ok(self.at(path)),
            Expression::Call(function, arguments) => self.call(*function, arguments, at, depth + 1),
        }
    }

    fn at(&self, path: &Path) -> Cow<'d, Value> {
        let start = match path.root {
            Root::Data => self.data,
            Root::Up(up) => match self.scopes.iter().rev().nth(up) {
                Some(scope) => scope.value,
                None => return Cow::Owned(Value::Null),
            },
            Root::Loop(word) => {
                let round = self.scopes.iter().rev().find_map(|scope| scope.round);
                return Cow::Owned(round.map_or(Value::Null, |round| round.word(word)));
            }
        };
        let found = path
            .fields
            .iter()
            .try_fold(start, |value, field| value.field(field));
        found.map_or(Cow::Owned(Value::Null), Cow::Borrowed)
    }

    fn call(
        &mut self,
        function: Function,
        arguments: &[Expression],
        at: Position,
        depth: usize,
    ) -> Result<Cow<'d, Value>, TemplateError> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = self.value(argument, at, depth)?;
            let decides = match function {
                Function::And => value.is_empty(),
                Function::Or => !value.is_empty(),
                Function::Default => !matches!(value.as_ref(), Value::Null) && *value != Value::from(""),
                _ => false,
            };
            if decides {
                return Ok(value);
            }
            values.push(value);
        }
        let compared = match values.as_slice() {
            [one, other] => compare(one, other),
            _ => None,
        };
        let decided = match function {
            Function::And | Function::Or | Function::Default => {
                return Ok(values.pop().unwrap_or(Cow::Owned(Value::Null)));
            }
            Function::Not => Some(values.first().is_none_or(|value| value.is_empty())),
            Function::Eq => Some(compared == Some(Ordering::Equal)),
            Function::Ne => Some(compared != Some(Ordering::Equal)),
            Function::Gt => Some(compared == Some(Ordering::Greater)),
            Function::Gte => Some(matches!(compared, Some(Ordering::Greater | Ordering::Equal))),
            Function::Lt => Some(compared == Some(Ordering::Less)),
            Function::Lte => Some(matches!(compared, Some(Ordering::Less | Ordering::Equal))),
            _ => None,
        };
        let looked: usize = values.iter().map(|value| weight(value)).sum();
        self.look(looked, at)?;
        if let Some(decided) = decided {
            return Ok(Cow::Owned(Value::Bool(decided)));
        }
        let values: Vec<&Value> = values.iter().map(AsRef::as_ref).collect();
        let made = function.make(&values).map_err(|reason| at.refuse(reason))?;
        self.made(&made, at)?;
        Ok(Cow::Owned(made))
    }

    /// Counts a step, and more for what is looked at.
    fn look(&mut self, bytes: usize, at: Position) -> Result<(), TemplateError> {
        let steps = 1 + u64::try_from(bytes / BYTES_PER_STEP).unwrap_or(u64::MAX - 1);
        match self.budget.steps.checked_sub(steps) {
            Some(left) => {
                self.budget.steps = left;
                Ok(())
            }
            None => Err(at.refuse(format!("this takes more than {STEPS_MAX} steps; loop over less"))),
        }
    }

    fn written(&mut self, bytes: usize, at: Position) -> Result<(), TemplateError> {
        let left = self.budget.output.checked_sub(bytes);
        self.budget.output =
            left.ok_or_else(|| at.refuse(format!("this writes more than {OUTPUT_BYTES_MAX} bytes")))?;
        Ok(())
    }

    fn made(&mut self, value: &Value, at: Position) -> Result<(), TemplateError> {
        let left = self.budget.made.checked_sub(weight(value));
        self.budget.made =
            left.ok_or_else(|| at.refuse(format!("this makes more than {MADE_BYTES_MAX} bytes of text")))?;
        Ok(())
    }
}

impl Round<'_> {
    fn word(&self, word: LoopWord) -> Value {
        let index = Value::Int(i64::try_from(self.index).unwrap_or(i64::MAX));
        match word {
            LoopWord::Index => index,
            LoopWord::Key => self.key.map_or(index, Value::from),
            LoopWord::First => Value::Bool(self.index == 0),
            LoopWord::Last => Value::Bool(self.is_last),
        }
    }
}

/// Numbers by their size, texts by their letters; what is of two kinds is not equal, and not in order.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        #[allow(
            clippy::cast_precision_loss,
            reason = "a fraction is not compared beyond its own precision"
        )]
        (Value::Int(one), Value::Float(other)) => (*one as f64).partial_cmp(other),
        #[allow(
            clippy::cast_precision_loss,
            reason = "a fraction is not compared beyond its own precision"
        )]
        (Value::Float(one), Value::Int(other)) => one.partial_cmp(&(*other as f64)),
        (Value::Float(one), Value::Float(other)) => one.partial_cmp(other),
        _ => None,
    }
}

/// Bytes that a function looks at.
fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list
            .iter()
            .map(|item| {
                8 + if let Value::Text(text) = item {
                    text.len()
                } else {
                    0
                }
            })
            .sum(),
        _ => 8,
    }
}
