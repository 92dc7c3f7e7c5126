//! What goes into statements and comes out of rows: integers, text, bytes, and lists of text.
//!
//! The schema uses only these on both engines (`BIGINT`, `TEXT`, `BYTEA`/`BLOB`), so one row type serves both.

use bytes::Bytes;

/// A parameter or a column.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// BIGINT; booleans are 0 and 1, times are unix microseconds.
    Int(i64),
    /// TEXT.
    Text(String),
    /// BYTEA or BLOB; cheap to clone.
    Bytes(Bytes),
    /// A list for `= ANY($n)` (PostgreSQL) or `IN (SELECT value FROM json_each($n))` (SQLite).
    Texts(Vec<String>),
}

impl std::fmt::Debug for Value {
    /// Only the kind: values may be anything, and parameters end up in errors.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Int(_) => "int",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Texts(_) => "texts",
        })
    }
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($v: $from) -> Self { $to }
        }
    )*};
}

value_from! {
    i64 => |v| Value::Int(v);
    i32 => |v| Value::Int(v.into());
    u32 => |v| Value::Int(v.into());
    u16 => |v| Value::Int(v.into());
    bool => |v| Value::Int(v.into());
    &str => |v| Value::Text(v.to_owned());
    String => |v| Value::Text(v);
    &String => |v| Value::Text(v.clone());
    Bytes => |v| Value::Bytes(v);
    &Bytes => |v| Value::Bytes(v.clone());
    Vec<u8> => |v| Value::Bytes(v.into());
    &[u8] => |v| Value::Bytes(Bytes::copy_from_slice(v));
    Vec<String> => |v| Value::Texts(v);
    crate::clock::Timestamp => |v| Value::Int(v.micros());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Builds the parameter list of a statement; in an organization's statement the first one is `$2`.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::platform::store::Value::from($value)),*] };
}
pub(crate) use params;

/// A type that a column can be read as.
pub trait FromValue: Sized {
    /// `None` when the column holds something else.
    fn from_value(value: Value) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Int(v) = value { Some(v) } else { None }
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value).map(|v| v != 0)
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(v) = value { Some(v) } else { None }
    }
}

impl FromValue for Bytes {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Bytes(v) = value {
            Some(v)
        } else {
            None
        }
    }
}

impl FromValue for crate::clock::Timestamp {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value).map(Self::from_micros)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        if value == Value::Null {
            Some(None)
        } else {
            T::from_value(value).map(Some)
        }
    }
}

/// One row of an answer.
#[derive(Debug, Clone)]
pub struct Row {
    pub(super) statement: &'static str,
    pub(super) columns: Vec<Value>,
}

impl Row {
    /// Reads the columns from left to right, each as the type its place asks for.
    pub fn reader(self) -> RowReader {
        RowReader {
            statement: self.statement,
            next: 0,
            columns: self.columns.into_iter(),
        }
    }
}

/// Reads a row's columns in order.
#[derive(Debug)]
pub struct RowReader {
    statement: &'static str,
    next: usize,
    columns: std::vec::IntoIter<Value>,
}

impl RowReader {
    /// The next column; an error names the statement and the column's index.
    #[allow(
        clippy::should_implement_trait,
        reason = "each column has its own type, an iterator has one"
    )]
    pub fn next<T: FromValue>(&mut self) -> Result<T, super::StoreError> {
        let column = self.next;
        self.next += 1;
        let value = self.columns.next().and_then(T::from_value);
        value.ok_or(super::StoreError::Shape {
            statement: self.statement,
            column,
        })
    }
}
