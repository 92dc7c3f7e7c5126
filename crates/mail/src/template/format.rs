//! Dates, amounts and numbers for people.

/// Names of months, from January.
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Names of weekdays, from the first of January 1970.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
/// Currencies with a sign of their own; others are written by their code.
const SIGNS: [(&str, &str); 8] = [
    ("USD", "$"),
    ("EUR", "€"),
    ("GBP", "£"),
    ("JPY", "¥"),
    ("INR", "₹"),
    ("KRW", "₩"),
    ("ILS", "₪"),
    ("VND", "₫"),
];
/// Currencies without minor units, and those with three digits of them (ISO 4217).
const WITHOUT_MINOR: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
];
const THREE_MINOR: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// A moment as its text tells it: in its own time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    /// Minutes east of UTC.
    offset: i32,
}

impl Moment {
    /// Reads `2026-11-25`, or RFC 3339 such as `2026-11-25T09:30:00+01:00`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = |from: usize, to: usize| {
            let digits = text
                .get(from..to)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            digits?.parse::<u32>().ok()
        };
        let is = |place: usize, wanted: &[u8]| {
            text.as_bytes()
                .get(place)
                .is_some_and(|byte| wanted.contains(byte))
        };
        let day = Self {
            year: digits(0, 4)?,
            month: digits(5, 7).filter(|month| (1..=12).contains(month))?,
            day: digits(8, 10)?,
            hour: 0,
            minute: 0,
            second: 0,
            offset: 0,
        };
        let fits = is(4, b"-") && is(7, b"-") && (1..=days_of(day.year, day.month)).contains(&day.day);
        if !fits || text.len() == 10 {
            return Some(day).filter(|_| fits);
        }
        let second = digits(17, 19).filter(|second| *second <= 60)?;
        let zone = text
            .get(19..)?
            .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
        let fits = is(10, b"Tt ") && is(13, b":") && is(16, b":");
        Some(Self {
            hour: digits(11, 13).filter(|hour| *hour < 24)?,
            minute: digits(14, 16).filter(|minute| *minute < 60)?,
            second,
            offset: offset(zone)?,
            ..day
        })
        .filter(|_| fits)
    }

    /// Writes it by a pattern: `YYYY YY MMMM MMM MM M DD D dddd ddd HH H hh h mm m ss s A a Z`, and `[as it is]`.
    pub(super) fn write(&self, pattern: &str) -> String {
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            if first == '['
                && let Some((literal, left)) = rest.get(1..).unwrap_or_default().split_once(']')
            {
                out.push_str(literal);
                rest = left;
                continue;
            }
            let end = rest.find(|c| c != first).unwrap_or(rest.len());
            let (word, left) = rest.split_at_checked(end).unwrap_or((rest, ""));
            match self.word(word) {
                Some(written) => out.push_str(&written),
                None => out.push_str(word),
            }
            rest = left;
        }
        out
    }

    fn word(&self, word: &str) -> Option<String> {
        let twelve = match self.hour % 12 {
            0 => 12,
            hour => hour,
        };
        let half = if self.hour < 12 { "AM" } else { "PM" };
        let name = |names: &[&'static str], place: u32| {
            let name = usize::try_from(place)
                .ok()
                .and_then(|place| names.get(place).copied());
            name.unwrap_or_default()
        };
        let (month, weekday) = (name(&MONTHS, self.month - 1), name(&WEEKDAYS, self.weekday()));
        Some(match word {
            "YYYY" => format!("{:04}", self.year),
            "YY" => format!("{:02}", self.year % 100),
            "MMMM" => month.to_owned(),
            "MMM" => month.chars().take(3).collect(),
            "MM" => format!("{:02}", self.month),
            "M" => self.month.to_string(),
            "DD" => format!("{:02}", self.day),
            "D" => self.day.to_string(),
            "dddd" => weekday.to_owned(),
            "ddd" => weekday.chars().take(3).collect(),
            "HH" => format!("{:02}", self.hour),
            "H" => self.hour.to_string(),
            "hh" => format!("{twelve:02}"),
            "h" => twelve.to_string(),
            "mm" => format!("{:02}", self.minute),
            "m" => self.minute.to_string(),
            "ss" => format!("{:02}", self.second),
            "s" => self.second.to_string(),
            "A" => half.to_owned(),
            "a" => half.to_ascii_lowercase(),
            "Z" => {
                let (sign, minutes) = (
                    if self.offset < 0 { '-' } else { '+' },
                    self.offset.unsigned_abs(),
                );
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            _ => return None,
        })
    }

    /// Days since a Thursday, modulo 7.
    fn weekday(&self) -> u32 {
        let leaps = |year: u32| year / 4 - year / 100 + year / 400;
        let before = |year: u32| 365 * year + leaps(year.saturating_sub(1)) + u32::from(year > 0);
        let of_months: u32 = (1..self.month).map(|month| days_of(self.year, month)).sum();
        // The first day of the year 0 was a Saturday.
        (before(self.year) + of_months + self.day - 1 + 2) % 7
    }
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Minutes east of UTC of `Z`, `+01:00` or nothing.
fn offset(zone: &str) -> Option<i32> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |digits: &str, end: i32| digits.parse().ok().filter(|number| (0..end).contains(number));
    let minutes = number(hours, 24)? * 60 + number(minutes, 60)?;
    match zone.as_bytes().first()? {
        b'+' => Some(minutes),
        b'-' => Some(-minutes),
        _ => None,
    }
}

/// How a language writes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// `1,234.50`
    En,
    /// `1.234,50`; also Spanish, Italian and Dutch.
    De,
    /// `1 234,50`
    Fr,
}

impl Language {
    /// Reads a tag such as `de` or `de-AT`.
    pub(super) fn parse(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()? {
            "en" => Some(Self::En),
            "de" | "es" | "it" | "nl" => Some(Self::De),
            "fr" => Some(Self::Fr),
            _ => None,
        }
    }

    fn marks(self) -> (char, char) {
        match self {
            Self::En => (',', '.'),
            Self::De => ('.', ','),
            Self::Fr => ('\u{202f}', ','),
        }
    }
}

/// A number with so many digits behind its point, grouped by thousands.
pub(super) fn number(value: f64, digits: usize, language: Language) -> String {
    let (group, point) = language.marks();
    let plain = format!("{:.*}", digits, value.abs());
    let (whole, rest) = plain.split_once('.').unwrap_or((&plain, ""));
    // What is rounded to nothing has no sign.
    let is_zero = plain.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let mut out = String::from(if value < 0.0 && !is_zero { "-" } else { "" });
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(group);
        }
        out.push(digit);
    }
    if !rest.is_empty() {
        out.push(point);
        out.push_str(rest);
    }
    out
}

/// An amount of money; `None` when the currency is not three capital letters.
pub(super) fn currency(value: f64, code: &str, language: Language) -> Option<String> {
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let digits = match code {
        _ if WITHOUT_MINOR.contains(&code) => 0,
        _ if THREE_MINOR.contains(&code) => 3,
        _ => 2,
    };
    let sign = SIGNS
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, sign)| *sign);
    let amount = number(value, digits, language);
    let (minus, amount) = amount
        .strip_prefix('-')
        .map_or(("", amount.as_str()), |amount| ("-", amount));
    Some(match (language, sign) {
        (Language::En, Some(sign)) => format!("{minus}{sign}{amount}"),
        (Language::En, None) => format!("{minus}{code}\u{a0}{amount}"),
        (_, sign) => format!("{minus}{amount}\u{a0}{}", sign.unwrap_or(code)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_by_their_pattern() {
        for (text, pattern, written) in [
            (
                "2026-11-25",
                "dddd, MMMM D, YYYY",
                Some("Wednesday, November 25, 2026"),
            ),
            (
                "2024-02-29T00:05:09Z",
                "ddd DD MMM YY HH:mm:ss",
                Some("Thu 29 Feb 24 00:05:09"),
            ),
            (
                "1970-01-01T13:00:00.123-02:30",
                "h A [o'clock] Z",
                Some("1 PM o'clock -02:30"),
            ),
            ("2000-03-01 00:00:00+01:00", "dddd h a", Some("Wednesday 12 am")),
            ("0000-01-01", "dddd", Some("Saturday")),
            ("9999-12-31", "dddd D.M.", Some("Friday 31.12.")),
            ("2025-02-29", "D", None),
            ("2025-13-01", "D", None),
            ("25.11.2026", "D", None),
            ("2026-11-25T25:00:00Z", "D", None),
            ("2026-11-25Tübermut!!", "D", None),
            ("", "D", None),
        ] {
            let read = Moment::parse(text).map(|moment| moment.write(pattern));
            assert_eq!(read.as_deref(), written, "{text}");
        }
    }

    #[test]
    fn amounts_are_written_as_their_readers_write_them() {
        use Language::{De, En, Fr};
        for (value, code, language, written) in [
            (1234.5, "USD", En, Some("$1,234.50")),
            (-0.5, "EUR", En, Some("-€0.50")),
            (-0.001, "EUR", En, Some("€0.00")),
            (1_234_567.0, "JPY", En, Some("¥1,234,567")),
            (12.0, "CHF", En, Some("CHF\u{a0}12.00")),
            (12.0, "KWD", En, Some("KWD\u{a0}12.000")),
            (1234.5, "EUR", De, Some("1.234,50\u{a0}€")),
            (-1234.5, "CHF", Fr, Some("-1\u{202f}234,50\u{a0}CHF")),
            (1.0, "eur", En, None),
            (1.0, "EURO", En, None),
        ] {
            assert_eq!(
                currency(value, code, language).as_deref(),
                written,
                "{value} {code}"
            );
        }
        assert_eq!(number(999.999, 1, En), "1,000.0");
    }
}
