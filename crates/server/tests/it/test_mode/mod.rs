//! Test keys: what their mail comes to, and that it never leaves.

mod cable;
mod no_network;
mod outcomes;

/// The table of `docs/test-mode.md`: what the page promises is what the tests ask for.
const PAGE: &str = include_str!("../../../../../docs/test-mode.md");

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    /// The recipient's name.
    local: &'static str,
    /// Its last status.
    status: &'static str,
    /// Its events after `email.sent`, in their order.
    events: Vec<&'static str>,
    /// What they tell, among other things.
    told: Vec<&'static str>,
}

fn rows() -> Vec<Row> {
    let rows = PAGE.lines().filter(|line| line.contains("@…` |")).map(row);
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() >= 13, "the table is not where it was: {rows:?}");
    rows
}

fn row(line: &'static str) -> Row {
    let mut columns = line.trim_matches('|').split('|').map(|column| {
        let quoted = column.split('`').skip(1).step_by(2);
        quoted.collect::<Vec<_>>()
    });
    let mut next = || columns.next().unwrap();
    Row {
        local: next()[0].strip_suffix("@…").unwrap(),
        status: next()[0],
        events: next(),
        told: next(),
    }
}
