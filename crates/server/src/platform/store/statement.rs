//! Statements: SQL text with a name and a scope.
//!
//! Text is written once wherever both engines accept it; a true difference is a pair, side by side. Parameters are `$1`,
//! `$2`, …; in a statement of scope [`Org`], `$1` is the organization and is bound by the transaction, never by the caller.

use std::marker::PhantomData;

/// Scope of statements that stay inside one organization.
#[derive(Debug, Clone, Copy)]
pub enum Org {}

/// Scope of statements that cross organizations.
#[derive(Debug, Clone, Copy)]
pub enum System {}

/// A statement's name and its text for each engine.
#[derive(Debug, Clone, Copy)]
pub struct StatementText {
    /// Unique among all statements: key of the prepared-statement caches, label in errors.
    pub name: &'static str,
    /// Text for SQLite.
    pub sqlite: &'static str,
    /// Text for PostgreSQL.
    pub postgres: &'static str,
    /// Whether `$1` is the organization.
    pub is_org: bool,
}

/// A statement that only a transaction of the same scope can run.
#[derive(Debug)]
pub struct Statement<S> {
    pub(super) text: StatementText,
    scope: PhantomData<S>,
}

impl Statement<Org> {
    /// A statement inside one organization.
    pub const fn org(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self {
            text: StatementText {
                name,
                sqlite,
                postgres,
                is_org: true,
            },
            scope: PhantomData,
        }
    }
}

impl Statement<System> {
    /// A statement across organizations.
    pub const fn system(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self {
            text: StatementText {
                name,
                sqlite,
                postgres,
                is_org: false,
            },
            scope: PhantomData,
        }
    }
}

impl<S> Statement<S> {
    /// Name and text, for the test that prepares every statement.
    pub const fn text(&self) -> StatementText {
        self.text
    }
}

/// Declares the statements of a `store.rs` and collects them in `ALL`.
///
/// `org NAME = "…";` or `system NAME = "…";` for text that both engines accept;
/// `org NAME = sqlite "…" postgres "…";` for a true difference.
macro_rules! statements {
    ($($(#[$doc:meta])* $scope:ident $name:ident = $($text:literal)? $(sqlite $sqlite:literal postgres $postgres:literal)?;)*) => {
        $(
            $(#[$doc])*
            const $name: $crate::platform::store::Statement<$crate::platform::store::statements!(@scope $scope)> =
                $crate::platform::store::Statement::$scope(
                    concat!(module_path!(), "::", stringify!($name)),
                    $($text, $text)? $($sqlite, $postgres)?
                );
        )*
        /// Every statement of this file.
        pub const ALL: &[$crate::platform::store::StatementText] = &[$($name.text()),*];
    };
    (@scope org) => { $crate::platform::store::Org };
    (@scope system) => { $crate::platform::store::System };
}
pub(crate) use statements;
