//! Lists as the API shows them, and the parameters that all of them take.

use schemars::JsonSchema;
use serde::Serialize;

/// One page of a list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListOf{T}")]
pub(super) struct List<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
    total_count: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
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

/// What is left of something deleted.
#[derive(Serialize, JsonSchema)]
pub(super) struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

impl Deleted {
    pub(super) fn new(id: &str, object: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            object,
            deleted: true,
        }
    }
}
