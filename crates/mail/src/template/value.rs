//! What a template is given.

use std::collections::BTreeMap;

/// A value, as JSON has them. The fields of a map are in the order of their names.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Known to be nothing; written like what is missing: not at all.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// What `#if` takes for no: nothing, false, zero, the empty text and the empty list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(bool) => !bool,
            Self::Int(number) => *number == 0,
            Self::Float(number) => *number == 0.0 || number.is_nan(),
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Map(_) => false,
        }
    }

    /// The value of a field, or the item at a place.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Map(map) => map.get(name),
            Self::List(list) => list.get(name.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// A word for refusals.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
