//! Functions of the language.

use super::DEPTH_MAX;
use super::format::{self, Language, Moment};
use super::value::Value;

/// Characters of a text that is read as a number or a date, and of a pattern.
const READ_BYTES_MAX: usize = 128;
/// Digits behind the point.
const DIGITS_MAX: i64 = 10;
/// A date as it is written without a pattern.
const DATE_PATTERN: &str = "MMMM D, YYYY";

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Default,
    Uppercase,
    Lowercase,
    Capitalize,
    FormatDate,
    FormatCurrency,
    FormatNumber,
    Count,
    Join,
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    And,
    Or,
    Not,
}

impl Function {
    pub(super) const ALL: [Function; 18] = [
        Self::Default,
        Self::Uppercase,
        Self::Lowercase,
        Self::Capitalize,
        Self::FormatDate,
        Self::FormatCurrency,
        Self::FormatNumber,
        Self::Count,
        Self::Join,
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
        Self::And,
        Self::Or,
        Self::Not,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Uppercase => "uppercase",
            Self::Lowercase => "lowercase",
            Self::Capitalize => "capitalize",
            Self::FormatDate => "formatDate",
            Self::FormatCurrency => "formatCurrency",
            Self::FormatNumber => "formatNumber",
            Self::Count => "count",
            Self::Join => "join",
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == word)
    }

    /// How many values it takes: at least and at most.
    pub(super) fn arguments(self) -> (usize, usize) {
        match self {
            Self::Uppercase | Self::Lowercase | Self::Capitalize | Self::Count | Self::Not => (1, 1),
            Self::FormatDate | Self::Join => (1, 2),
            Self::FormatNumber => (1, 3),
            Self::FormatCurrency => (2, 3),
            Self::Default | Self::Eq | Self::Ne | Self::Gt | Self::Gte | Self::Lt | Self::Lte => (2, 2),
            Self::And | Self::Or => (2, DEPTH_MAX),
        }
    }

    /// What it makes of texts and numbers; those functions that only choose or compare are the renderer's.
    pub(super) fn make(self, arguments: &[&Value]) -> Result<Value, String> {
        let nothing = Value::Null;
        let argument = |place: usize| arguments.get(place).copied().unwrap_or(&nothing);
        let first = argument(0);
        if matches!(first, Value::Null) {
            return Ok(Value::Null);
        }
        match self {
            Self::Uppercase => Ok(Value::Text(text(first)?.to_uppercase())),
            Self::Lowercase => Ok(Value::Text(text(first)?.to_lowercase())),
            Self::Capitalize => Ok(Value::Text(capitalized(&text(first)?))),
            Self::FormatDate => {
                let pattern = word(argument(1), DATE_PATTERN)?;
                let moment = match first {
                    Value::Text(text) if text.len() <= READ_BYTES_MAX => Moment::parse(text.trim()),
                    _ => None,
                };
                let unread = "formatDate takes a date such as 2026-11-25 or 2026-11-25T09:30:00+01:00";
                Ok(Value::Text(moment.ok_or(unread)?.write(pattern)))
            }
            Self::FormatCurrency => {
                let (amount, code) = (number(first)?, word(argument(1), "")?);
                let written = format::currency(amount, code, language(argument(2))?);
                let unknown = "formatCurrency takes the three capital letters of a currency, such as \"EUR\"";
                Ok(Value::Text(written.ok_or(unknown)?))
            }
            Self::FormatNumber => {
                let digits = match argument(1) {
                    Value::Null => 0,
                    Value::Int(digits) if (0..=DIGITS_MAX).contains(digits) => {
                        usize::try_from(*digits).unwrap_or(0)
                    }
                    _ => {
                        return Err(format!(
                            "formatNumber writes 0 to {DIGITS_MAX} digits behind the point"
                        ));
                    }
                };
                Ok(Value::Text(format::number(
                    number(first)?,
                    digits,
                    language(argument(2))?,
                )))
            }
            Self::Count => match first {
                Value::List(list) => Ok(Value::Int(i64::try_from(list.len()).unwrap_or(i64::MAX))),
                Value::Map(map) => Ok(Value::Int(i64::try_from(map.len()).unwrap_or(i64::MAX))),
                other => Err(format!("count takes a list, this is {}", other.kind())),
            },
            Self::Join => match first {
                Value::List(list) => {
                    let texts = list.iter().map(text).collect::<Result<Vec<_>, _>>()?;
                    Ok(Value::Text(texts.join(word(argument(1), ", ")?)))
                }
                other => Err(format!("join takes a list, this is {}", other.kind())),
            },
            _ => Ok(Value::Null),
        }
    }
}

/// A value as text.
pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Int(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Text(text) => Ok(text.clone()),
        Value::List(_) => {
            Err("this is a list; go through it with {{#each}}, or write it with join".to_owned())
        }
        Value::Map(_) => Err("this is an object; name one of its fields".to_owned()),
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.collect::<String>() + chars.as_str()
}

/// A short text that says how; `otherwise` if it isn't given.
fn word<'v>(value: &'v Value, otherwise: &'static str) -> Result<&'v str, String> {
    match value {
        Value::Null => Ok(otherwise),
        Value::Text(text) if text.len() <= READ_BYTES_MAX => Ok(text),
        _ => Err(format!(
            "text of at most {READ_BYTES_MAX} bytes is expected behind the value"
        )),
    }
}

fn language(value: &Value) -> Result<Language, String> {
    let tag = word(value, "en")?;
    Language::parse(tag).ok_or_else(|| "the languages are en, de, es, fr, it and nl".to_owned())
}

/// A number, also one that was sent as text.
fn number(value: &Value) -> Result<f64, String> {
    let number = match value {
        // Amounts beyond 2^53 lose their last digits.
        #[allow(clippy::cast_precision_loss, reason = "told above")]
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) if text.len() <= READ_BYTES_MAX => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| number.abs() < 1e18);
    number.ok_or_else(|| "a number is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_stays_missing_and_what_does_not_fit_is_told() {
        for function in Function::ALL {
            assert_eq!(function.make(&[&Value::Null]), Ok(Value::Null), "{function:?}");
        }
        let list = Value::List(vec![Value::from("a"), Value::Int(2)]);
        assert_eq!(Function::Join.make(&[&list]), Ok(Value::from("a, 2")));
        assert_eq!(Function::Count.make(&[&list]), Ok(Value::Int(2)));
        assert_eq!(
            Function::Capitalize.make(&[&Value::from("ärger")]),
            Ok(Value::from("Ärger"))
        );
        for (function, arguments) in [
            (Function::Uppercase, vec![list.clone()]),
            (Function::FormatDate, vec![Value::from("tomorrow")]),
            (
                Function::FormatCurrency,
                vec![Value::from("12 €"), Value::from("EUR")],
            ),
            (Function::FormatCurrency, vec![Value::Int(1), Value::from("euro")]),
            (Function::FormatNumber, vec![Value::Float(f64::INFINITY)]),
            (Function::FormatNumber, vec![Value::Int(1), Value::Int(99)]),
            (Function::Join, vec![Value::List(vec![list])]),
        ] {
            let arguments: Vec<&Value> = arguments.iter().collect();
            assert!(function.make(&arguments).is_err(), "{function:?}");
        }
    }
}
