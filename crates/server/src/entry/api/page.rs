//! Lists as the API shows them, and the parameters that all of them take.

use super::Problem;
use crate::id::Id;
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
use serde::Serialize;
use std::collections::BTreeMap;

/// One page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
    total_count: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    total_count_capped: bool,
}

impl<T> List<T> {
    pub(super) fn new(data: Vec<T>, has_more: bool, total_count: i64, total_count_capped: bool) -> Self {
        Self {
            object: "list",
            data,
            has_more,
            total_count,
            total_count_capped,
        }
    }
}

/// The query parameters of a request, each at most once; what nobody takes is refused.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default())
            .map_err(|_| Problem::invalid("query", "the query string can't be decoded"))?;
        for (name, value) in pairs {
            if parameters.insert(name.clone(), value).is_some() {
                return Err(Problem::invalid(name, "this query parameter is given twice"));
            }
        }
        Ok(Self(parameters))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(super) fn take_id<T: Id>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let refused = || Problem::invalid(name, format!("expected an id that begins with {}_", T::PREFIX));
        T::parse(&text).map(Some).ok_or_else(refused)
    }

    pub(super) fn take_limit(&mut self) -> Result<i64, Problem> {
        let Some(text) = self.take("limit") else {
            return Ok(PAGE_DEFAULT);
        };
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
        limit
            .ok_or_else(|| Problem::invalid("limit", format!("expected a whole number from 1 to {PAGE_MAX}")))
    }

    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            Some(name) => Err(Problem::invalid(name, "there is no such query parameter here")),
            None => Ok(()),
        }
    }
}
