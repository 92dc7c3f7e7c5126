//! Every statement of the program, held against the real schema of both engines.

use crate::harness::{Engine, on_both_engines};
use sealwright::features::statements;
use sealwright::platform::store::{Schema, StatementText};
use sealwright::platform::vault;
use std::collections::HashSet;

fn all() -> impl Iterator<Item = &'static StatementText> {
    statements().chain(vault::STATEMENTS)
}

on_both_engines! {
    async fn every_statement_prepares(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        for (schema, texts) in [
            (&Schema::DATA, statements().collect::<Vec<_>>()),
            (&Schema::KEYRING, vault::STATEMENTS.iter().collect()),
        ] {
            let store = engine.store(folder.path(), schema).await;
            assert!(!texts.is_empty());
            for text in texts {
                if let Err(error) = store.prepare(text).await {
                    panic!("{} on {engine:?}: {error}", text.name);
                }
            }
        }
    }
}

#[test]
fn statement_names_are_unique() {
    let mut seen = HashSet::new();
    for text in all() {
        assert!(seen.insert(text.name), "{} is declared twice", text.name);
    }
    assert!(
        seen.len() > 50,
        "{} statements: some lists are missing",
        seen.len()
    );
}

#[test]
fn every_statement_of_an_organization_is_bound_to_it_first() {
    for text in all().filter(|text| text.is_org) {
        for sql in [text.sqlite, text.postgres] {
            let words = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            let is_bound = words.contains("org_id = $1")
                || (words.starts_with("INSERT INTO ")
                    && words.contains("(org_id, ")
                    && (words.contains("VALUES ($1,") || words.contains("SELECT $1,")));
            assert!(
                is_bound,
                "{}: an organization's statement compares org_id with $1, or inserts $1 as org_id",
                text.name
            );
        }
    }
}
