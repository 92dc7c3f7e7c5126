//! The table of routes: each row says who may call it, and is the only way to make a route.
//!
//! From the same rows come the router, its guards, the OpenAPI document, the table in `docs/permissions.md`, and the test that tries
//! every route with every permission. A route without a row does not exist; a row without an [`Access`] does not compile.

use super::Api;
use crate::features::people::{Permissions, Role};
use aide::OperationInput;
use aide::OperationOutput;
use aide::axum::ApiRouter;
use aide::axum::routing::{ApiMethodRouter, delete_with, get_with, patch_with, post_with};
use aide::openapi::{OpenApi, Operation, Parameter, ReferenceOr};
use aide::operation::OperationHandler;
use aide::transform::TransformOperation;
use axum::Router;
use axum::handler::Handler;
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a key.
    Anyone,
    /// Every key and every session.
    Authenticated,
    /// Who has this permission.
    Needs(&'static str),
    /// Who has this permission and acts live: what live keys depend on is not for test keys to change.
    NeedsLive(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// The operation's name in the OpenAPI document.
    pub operation: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The query parameters that it knows.
    pub query: BTreeSet<String>,
    /// Whether it reads a body.
    pub has_body: bool,
}

/// All rows, by path and method.
#[derive(Debug, Default)]
pub struct Routes(BTreeMap<&'static str, Vec<Route>>);

impl Access {
    /// Whether it lets in who has these permissions.
    pub fn admits(self, permissions: &Permissions) -> bool {
        match self {
            Self::Anyone | Self::Authenticated => true,
            Self::Needs(wanted) | Self::NeedsLive(wanted) => permissions.allow(wanted),
        }
    }

    /// The permission that it takes.
    pub fn permission(self) -> Option<&'static str> {
        match self {
            Self::Anyone | Self::Authenticated => None,
            Self::Needs(permission) | Self::NeedsLive(permission) => Some(permission),
        }
    }
}

impl Routes {
    /// The row of a request that was routed to `path`. HEAD is GET without a body.
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<&Route> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        self.0.get(path)?.iter().find(|route| route.method == *method)
    }

    /// The methods of a path that take a caller.
    pub(super) fn methods_of_callers(&self, path: &str) -> Vec<&str> {
        let rows = self.0.get(path).map(Vec::as_slice).unwrap_or_default();
        rows.iter()
            .filter(|route| route.access != Access::Anyone)
            .map(|route| route.method.as_str())
            .collect()
    }

    /// Every row, in the order of paths.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.values().flatten()
    }
}

/// A table under construction.
pub(super) struct Table {
    router: ApiRouter<Arc<Api>>,
    rows: Vec<Route>,
}

macro_rules! verbs {
    ($($verb:ident $with:ident $method:ident;)*) => {$(
        pub(super) fn $verb<H, I, O, T>(
            self,
            path: &'static str,
            operation: &'static str,
            access: Access,
            summary: &'static str,
            handler: H,
        ) -> Self
        where
            H: Handler<T, Arc<Api>> + OperationHandler<I, O>,
            I: OperationInput,
            O: OperationOutput,
            T: 'static,
        {
            let routed = $with(handler, |op| describe(op, path, operation, access, summary));
            self.add(Method::$method, path, operation, access, summary, routed)
        }
    )*};
}

impl Table {
    pub(super) fn new() -> Self {
        aide::generate::extract_schemas(true);
        Self {
            router: ApiRouter::new(),
            rows: Vec::new(),
        }
    }

    verbs! {
        get get_with GET;
        post post_with POST;
        patch patch_with PATCH;
        delete delete_with DELETE;
    }

    fn add(
        mut self,
        method: Method,
        path: &'static str,
        operation: &'static str,
        access: Access,
        summary: &'static str,
        routed: ApiMethodRouter<Arc<Api>>,
    ) -> Self {
        self.router = self.router.api_route(path, routed);
        self.rows.push(Route {
            method,
            path,
            operation,
            summary,
            access,
            query: BTreeSet::new(),
            has_body: false,
        });
        self
    }

    /// The router, its rows and the document, which agree because they come from the same place.
    pub(super) fn finish(self) -> (Router<Arc<Api>>, Routes, OpenApi) {
        let mut document = super::openapi::head();
        let router = self.router.finish_api(&mut document);
        without_null_defaults(&mut document);
        let mut routes = Routes::default();
        for mut row in self.rows {
            if let Some(operation) = operation(&document, &row) {
                row.query = query_names(operation);
                row.has_body = operation.request_body.is_some();
            }
            routes.0.entry(row.path).or_default().push(row);
        }
        (router, routes, document)
    }
}

/// Left out and `null` are two things where `null` takes away; a client that fills in defaults must not.
fn without_null_defaults(document: &mut OpenApi) {
    let schemas = document
        .components
        .iter_mut()
        .flat_map(|all| all.schemas.values_mut());
    for schema in schemas {
        let fields = schema
            .json_schema
            .get_mut("properties")
            .and_then(|fields| fields.as_object_mut());
        let fields = fields.into_iter().flat_map(|fields| fields.values_mut());
        for field in fields.filter_map(serde_json::Value::as_object_mut) {
            field.retain(|name, value| name != "default" || !value.is_null());
        }
    }
}

fn operation<'d>(document: &'d OpenApi, row: &Route) -> Option<&'d Operation> {
    let item = document.paths.as_ref()?.paths.get(row.path)?.as_item()?;
    let operation = match row.method {
        Method::GET => &item.get,
        Method::POST => &item.post,
        Method::PATCH => &item.patch,
        Method::DELETE => &item.delete,
        _ => &None,
    };
    operation.as_ref()
}

fn query_names(operation: &Operation) -> BTreeSet<String> {
    let name = |parameter: &ReferenceOr<Parameter>| match parameter {
        ReferenceOr::Item(Parameter::Query { parameter_data, .. }) => Some(parameter_data.name.clone()),
        _ => None,
    };
    operation.parameters.iter().filter_map(name).collect()
}

fn describe<'t>(
    operation: TransformOperation<'t>,
    path: &str,
    id: &str,
    access: Access,
    summary: &str,
) -> TransformOperation<'t> {
    let resource = path.split('/').nth(2).unwrap_or_default();
    let operation = operation.id(id).summary(summary).tag(resource);
    let mut operation = super::openapi::standard(operation, access);
    if let Some(permission) = access.permission() {
        let extensions = &mut operation.inner_mut().extensions;
        extensions.insert("x-permission".to_owned(), permission.into());
    }
    operation
}

/// The table as a page of the documentation.
pub(super) fn page(routes: &Routes) -> String {
    let names = Role::ALL.map(Role::name).join(" | ");
    let lines = "|---".repeat(3 + Role::ALL.len());
    let mut page = format!(
        "# Permissions\n\nWho may call which route: keys by their permissions, members by their role. This page is printed by\n\
         `sealwright permissions` from the tables that guard the routes (`crates/server/src/entry/api/mod.rs`, and\n\
         `crates/server/src/features/people/roles.rs` for roles).\n\n| Route | What it does | A key needs | {names} |\n{lines}|\n",
    );
    for route in routes.iter() {
        let key = match route.access {
            Access::Anyone => "no key".to_owned(),
            Access::Authenticated => "nothing more".to_owned(),
            Access::Needs(permission) => format!("`{permission}`"),
            Access::NeedsLive(permission) => format!("`{permission}`, live"),
        };
        let may = |role: Role| {
            let admits = route.access.admits(&role.permissions());
            if admits { "✓" } else { "–" }
        };
        let roles = Role::ALL.map(may).join(" | ");
        page += &format!(
            "| `{} {}` | {} | {key} | {roles} |\n",
            route.method, route.path, route.summary
        );
    }
    page += "\n`area:*` is every permission of an area, `*` everything. Nobody makes, changes or replaces a key that may do more than they\n\
             may themselves, and nobody gives or takes a role that may.\n";
    page
}
