//! Suppressions as CSV (RFC 4180): a header with `email` and perhaps `type` and `reason`, then a line each.

use crate::features::suppressions::Suppression;
use crate::id::Id as _;

/// Media type of such files.
pub(super) const MEDIA: &str = "text/csv";

/// Why a file can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CsvError {
    #[error("the file is not UTF-8")]
    NotUtf8,
    #[error("quotes begin inside a field or never end, in line {0}")]
    Quotes(usize),
    #[error("the first line has to name the columns: email, and if there are any, type and reason")]
    Header,
}

/// One line's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) email: String,
    pub(super) kind: Option<String>,
    pub(super) reason: Option<String>,
}

/// Reads a file. Columns of other names are passed over, so that another product's export can be sent as it is.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Line>, CsvError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CsvError::NotUtf8)?;
    let mut records = records(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let header = records.next().ok_or(CsvError::Header)?;
    let column = |name: &str| {
        header
            .iter()
            .position(|field| field.trim().eq_ignore_ascii_case(name))
    };
    let email = column("email").ok_or(CsvError::Header)?;
    let (kind, reason) = (column("type"), column("reason"));
    let line = |record: Vec<String>| {
        let field = |place: usize| record.get(place).map(|field| field.trim().to_owned());
        let given = |place: Option<usize>| place.and_then(field).filter(|field| !field.is_empty());
        Line {
            email: field(email).unwrap_or_default(),
            kind: given(kind),
            reason: given(reason),
        }
    };
    Ok(records.map(line).collect())
}

/// The fields of each line that is not empty.
fn records(text: &str) -> Result<Vec<Vec<String>>, CsvError> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut was_quoted, mut line) = (false, false, 1);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted => (is_quoted, was_quoted) = (false, true),
            '"' if field.is_empty() && !was_quoted => is_quoted = true,
            '"' => return Err(CsvError::Quotes(line)),
            ',' if !is_quoted => {
                record.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\r' if !is_quoted && characters.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
                (was_quoted, line) = (false, line + 1);
            }
            other => {
                line += usize::from(other == '\n');
                field.push(other);
            }
        }
    }
    if is_quoted {
        return Err(CsvError::Quotes(line));
    }
    record.push(field);
    records.push(record);
    records.retain(|record| record.iter().any(|field| !field.trim().is_empty()));
    Ok(records)
}

/// Writes a file that [`read`] takes.
pub(super) fn write(suppressions: &[Suppression]) -> String {
    let mut text = "id,email,type,reason,createdAt\r\n".to_owned();
    for suppression in suppressions {
        let reason = suppression
            .reason
            .as_ref()
            .map_or("", |reason| reason.expose().as_str());
        let fields = [
            suppression.id.as_str(),
            &quoted(suppression.address.expose()),
            suppression.kind.name(),
            &quoted(&harmless(reason)),
            &suppression.created_at.rfc3339(),
        ];
        text += &fields.join(",");
        text += "\r\n";
    }
    text
}

/// A text that a spreadsheet takes for a formula gets an apostrophe: the words may be a stranger's.
fn harmless(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@']);
    let mark = if is_formula { "'" } else { "" };
    format!("{mark}{text}")
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Timestamp;
    use crate::features::suppressions::Type;
    use crate::id::SuppressionId;
    use crate::secret::Personal;

    fn line(email: &str, kind: Option<&str>, reason: Option<&str>) -> Line {
        Line {
            email: email.to_owned(),
            kind: kind.map(str::to_owned),
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn a_file_is_read_by_the_names_of_its_columns() {
        for (text, expected) in [
            ("email\nada@a.example\n", vec![line("ada@a.example", None, None)]),
            (
                "\u{feff}Reason,EMAIL,source\r\n\"said \"\"no\"\", twice\", ada@a.example ,x\r\n\r\n,bo@a.example\r\n",
                vec![
                    line("ada@a.example", None, Some("said \"no\", twice")),
                    line("bo@a.example", None, None),
                ],
            ),
            (
                "email,type\n\"\"\"a b\"\"@a.example\",complaints",
                vec![line("\"a b\"@a.example", Some("complaints"), None)],
            ),
            ("type,email\nmanual\n", vec![line("", Some("manual"), None)]),
        ] {
            assert_eq!(read(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for (bytes, expected) in [
            (&b""[..], CsvError::Header),
            (b"address\nada@a.example", CsvError::Header),
            (b"email\n\xff@a.example", CsvError::NotUtf8),
            (b"email\nada\"@a.example", CsvError::Quotes(2)),
            (b"email\n\"ada\"x\"", CsvError::Quotes(2)),
            (b"email\n\"ada@a.example\n", CsvError::Quotes(3)),
        ] {
            assert_eq!(read(bytes), Err(expected));
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_is_no_formula() {
        let at = Timestamp::from_micros(1_795_305_600_000_000);
        let suppression = |email: &str, reason: &str| Suppression {
            id: SuppressionId::generate(at, [0; 10]),
            address: Personal::new(email.to_owned()),
            kind: Type::Manual,
            reason: Some(Personal::new(reason.to_owned())),
            email: None,
            created_at: at,
        };
        let all = [
            suppression("\"a,b\"@a.example", "a \"word\",\nand more"),
            suppression("ada@a.example", "=1+1"),
        ];
        let expected = [
            line("\"a,b\"@a.example", Some("manual"), Some("a \"word\",\nand more")),
            line("ada@a.example", Some("manual"), Some("'=1+1")),
        ];
        assert_eq!(read(write(&all).as_bytes()).unwrap(), expected);
    }
}
