//! Command lines as a server reads them (RFC 5321 §4.1, SIZE RFC 1870, BODY RFC 6152,
//! SMTPUTF8 RFC 6531).

use crate::smtp::path::{PathError, check_mailbox, split_path};

/// One command, its argument parsed.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Command {
    Ehlo(String),
    Helo(String),
    Mail(MailArguments),
    Rcpt(String),
    Data,
    Rset,
    Noop,
    Vrfy,
    StartTls,
    Quit,
    /// A command of another protocol: somebody made a browser or proxy talk to this port.
    Foreign,
}

/// What MAIL says.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct MailArguments {
    pub(super) from: String,
    pub(super) size: Option<u64>,
    pub(super) eight_bit: bool,
    pub(super) smtputf8: bool,
}

/// Why a line is no command this server can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandError {
    /// Control characters or octets that are not UTF-8.
    BadOctets,
    /// The verb is unknown.
    Unknown,
    /// The verb is known and deliberately not offered.
    NotImplemented,
    /// The verb is known, its argument is not what the grammar allows.
    Arguments,
    /// The address is not acceptable.
    Path(PathError),
    /// A parameter of MAIL or RCPT that was not offered (RFC 5321 §4.1.1.11).
    Parameter,
}

/// Parses a line without its CRLF.
pub(super) fn parse(line: &[u8]) -> Result<Command, CommandError> {
    let text = std::str::from_utf8(line).map_err(|_| CommandError::BadOctets)?;
    if text.chars().any(char::is_control) {
        return Err(CommandError::BadOctets);
    }
    let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
    let argument = argument.trim_matches(' ');
    let bare = |command| {
        if argument.is_empty() {
            Ok(command)
        } else {
            Err(CommandError::Arguments)
        }
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => client_name(argument).map(Command::Ehlo),
        "HELO" => client_name(argument).map(Command::Helo),
        "MAIL" => mail(after_keyword(argument, "FROM:")?).map(Command::Mail),
        "RCPT" => rcpt(after_keyword(argument, "TO:")?).map(Command::Rcpt),
        "DATA" => bare(Command::Data),
        "RSET" => bare(Command::Rset),
        "QUIT" => bare(Command::Quit),
        "STARTTLS" => bare(Command::StartTls),
        "NOOP" => Ok(Command::Noop),
        "VRFY" if argument.is_empty() => Err(CommandError::Arguments),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" | "HELP" | "TURN" | "ETRN" | "BDAT" | "AUTH" => Err(CommandError::NotImplemented),
        "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" => Ok(Command::Foreign),
        _ => Err(CommandError::Unknown),
    }
}

/// Strict domains would refuse much honest mail; what matters is that the name is one word.
fn client_name(argument: &str) -> Result<String, CommandError> {
    let is_one_word = !argument.is_empty() && !argument.contains(' ');
    is_one_word
        .then(|| argument.to_owned())
        .ok_or(CommandError::Arguments)
}

/// RFC 5321 §4.1.1.2 forbids spaces round the colon and knows that they are sent; those after it
/// are harmless.
fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Result<&'a str, CommandError> {
    let (word, rest) = argument
        .split_at_checked(keyword.len())
        .ok_or(CommandError::Arguments)?;
    let matches = word.eq_ignore_ascii_case(keyword);
    matches
        .then(|| rest.trim_start_matches(' '))
        .ok_or(CommandError::Arguments)
}

fn mail(text: &str) -> Result<MailArguments, CommandError> {
    let (from, rest) = split_path(text).map_err(CommandError::Path)?;
    if !from.is_empty() {
        check_mailbox(from).map_err(CommandError::Path)?;
    }
    let mut arguments = MailArguments {
        from: from.to_owned(),
        ..MailArguments::default()
    };
    for parameter in parameters(rest)? {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (
            key.to_ascii_uppercase().as_str(),
            value.to_ascii_uppercase().as_str(),
        ) {
            ("SIZE", digits) => arguments.size = Some(size(digits)?),
            ("BODY", "7BIT") => arguments.eight_bit = false,
            ("BODY", "8BITMIME") => arguments.eight_bit = true,
            ("SMTPUTF8", "") => arguments.smtputf8 = true,
            _ => return Err(CommandError::Parameter),
        }
    }
    Ok(arguments)
}

/// `<postmaster>` needs no domain (RFC 5321 §4.1.1.3).
fn rcpt(text: &str) -> Result<String, CommandError> {
    let (to, rest) = split_path(text).map_err(CommandError::Path)?;
    if !to.eq_ignore_ascii_case("postmaster") {
        check_mailbox(to).map_err(CommandError::Path)?;
    }
    match parameters(rest)?.next() {
        None => Ok(to.to_owned()),
        Some(_) => Err(CommandError::Parameter),
    }
}

fn parameters(rest: &str) -> Result<impl Iterator<Item = &str>, CommandError> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(CommandError::Arguments);
    }
    Ok(rest.split(' ').filter(|parameter| !parameter.is_empty()))
}

/// At most twenty digits (RFC 1870 §3); more than fits is as good as the greatest number.
fn size(digits: &str) -> Result<u64, CommandError> {
    let is_number =
        !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        .then(|| digits.parse().unwrap_or(u64::MAX))
        .ok_or(CommandError::Arguments)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(line: &str) -> Option<CommandError> {
        parse(line.as_bytes()).err()
    }

    #[test]
    fn mail_parameters_are_read_in_any_case_and_order() {
        let Ok(Command::Mail(mail)) = parse(b"mail from:<a@b> smtputf8 size=12 body=8bitmime") else {
            panic!("not read as MAIL")
        };
        assert!(mail.from == "a@b" && mail.size == Some(12) && mail.eight_bit && mail.smtputf8);
        assert!(parse(b"MAIL FROM: <>").is_ok());
    }

    #[test]
    fn what_was_not_offered_is_refused_by_name() {
        assert_eq!(error("MAIL FROM:<a@b> RET=FULL"), Some(CommandError::Parameter));
        assert_eq!(
            error("MAIL FROM:<a@b> BODY=BINARYMIME"),
            Some(CommandError::Parameter)
        );
        assert_eq!(error("RCPT TO:<a@b> NOTIFY=NEVER"), Some(CommandError::Parameter));
        assert_eq!(error("MAIL FROM:<a@b>SIZE=1"), Some(CommandError::Arguments));
        assert_eq!(error("MAIL FROM:<a@b> SIZE=-1"), Some(CommandError::Arguments));
        assert_eq!(error("AUTH PLAIN"), Some(CommandError::NotImplemented));
        assert_eq!(error("WIZ"), Some(CommandError::Unknown));
        assert_eq!(
            error("RCPT TO:<>"),
            Some(CommandError::Path(PathError::Malformed))
        );
        assert_eq!(error("EHLO"), Some(CommandError::Arguments));
        assert_eq!(error("DATA x"), Some(CommandError::Arguments));
        assert_eq!(error("NOOP \0"), Some(CommandError::BadOctets));
        assert_eq!(parse(b"RCPT TO:<\xff@b>").err(), Some(CommandError::BadOctets));
    }

    #[test]
    fn size_beyond_all_numbers_is_the_greatest() {
        let Ok(Command::Mail(mail)) = parse(b"MAIL FROM:<> SIZE=99999999999999999999") else {
            panic!("not read as MAIL")
        };
        assert_eq!(mail.size, Some(u64::MAX));
    }
}
