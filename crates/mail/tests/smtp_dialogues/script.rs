//! Reads a dialogue file into steps.

/// How the octets of one side reach the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// All lines up to the other side's next line in one piece.
    Groups,
    /// One octet at a time.
    Octets,
}

/// One step of a dialogue.
#[derive(Debug)]
pub(crate) enum Step {
    /// Octets from client to server: all adjacent `c` lines.
    Client(Vec<u8>),
    /// Octets from server to client: all adjacent `s` lines.
    Server(Vec<u8>),
    /// Content that the server handed over: all adjacent `m` lines.
    Message(Vec<u8>),
    /// `= …`, split into words.
    Directive(Vec<String>),
}

/// A dialogue.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) groups_only: bool,
    /// Each step with its line number.
    pub(crate) steps: Vec<(usize, Step)>,
}

impl Script {
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let mut script = Self {
            name: name.to_owned(),
            groups_only: false,
            steps: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (mark, rest) = line.split_at(line.len().min(4));
            let whole_line = || [unescape(rest.strip_prefix(' ').unwrap_or(rest)), b"\r\n".to_vec()].concat();
            let step = match mark {
                "c ->" => Step::Client(whole_line()),
                "c ~>" => Step::Client(unescape(rest.trim_start())),
                "s <-" => Step::Server(whole_line()),
                "m ==" => Step::Message(whole_line()),
                "= gr" => {
                    script.groups_only = true;
                    continue;
                }
                _ if line.starts_with("= ") => {
                    Step::Directive(line.split_whitespace().skip(1).map(str::to_owned).collect())
                }
                _ => panic!("{name}:{}: not a line of a dialogue: {line}", index + 1),
            };
            script.add(index + 1, step);
        }
        script
    }

    fn add(&mut self, line: usize, step: Step) {
        match (self.steps.last_mut(), step) {
            (Some((_, Step::Client(group))), Step::Client(more))
            | (Some((_, Step::Server(group))), Step::Server(more))
            | (Some((_, Step::Message(group))), Step::Message(more)) => group.extend(more),
            (_, step) => self.steps.push((line, step)),
        }
    }
}

/// The pieces in which a machine gets `octets`.
pub(crate) fn pieces(octets: &[u8], pace: Pace) -> Vec<&[u8]> {
    octets
        .chunks(if pace == Pace::Octets {
            1
        } else {
            octets.len().max(1)
        })
        .collect()
}

/// `\r`, `\n`, `\0`, `\\` and `\x{n}` (an x repeated n times).
fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        octets.extend_from_slice(plain.as_bytes());
        let (kind, after) = after.split_at(1);
        rest = after;
        match kind {
            "r" => octets.push(b'\r'),
            "n" => octets.push(b'\n'),
            "0" => octets.push(0),
            "\\" => octets.push(b'\\'),
            "x" => {
                let (count, after) = after.strip_prefix('{').unwrap().split_once('}').unwrap();
                octets.extend(std::iter::repeat_n(b'x', count.parse().unwrap()));
                rest = after;
            }
            other => panic!("unknown escape \\{other}"),
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    octets
}
