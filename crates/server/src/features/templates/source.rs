//! What a template says: its parts, parsed and rendered.

use super::TemplatesError;
use sealwright_mail::template::{Budget, Kind, Template, TemplateError, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tokio::sync::Semaphore;

/// The parts of a template.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The HTML part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// The text part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The AMP part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amp: Option<String>,
}

/// Why a part can't be read or rendered.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct PartError {
    /// The part, as the API names it.
    pub part: &'static str,
    /// What is wrong, and where in the part.
    pub error: TemplateError,
}

/// The parts, read.
pub struct Parsed {
    subject: Option<Template>,
    html: Option<Template>,
    text: Option<Template>,
    amp: Option<Template>,
}

/// The parts with their values.
#[derive(Clone, Default)]
pub struct Rendered {
    /// The subject, on one line.
    pub subject: Option<String>,
    /// The HTML part.
    pub html: Option<String>,
    /// The text part.
    pub text: Option<String>,
    /// The AMP part.
    pub amp: Option<String>,
}

/// Renderings under way at once: each may take all the steps that it is allowed.
static ROOM: Semaphore = Semaphore::const_new(2);

/// Reads or renders where it does not hold up what answers requests.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PartError> + Send + 'static,
) -> Result<T, TemplatesError> {
    let _one_of_few = ROOM.acquire().await;
    let done = tokio::task::spawn_blocking(work).await;
    // It can't panic; if it did, there is nothing that could be sent.
    Ok(done.map_err(|_| TemplatesError::Empty)??)
}

impl Source {
    /// Reads every part.
    pub fn parse(&self) -> Result<Parsed, PartError> {
        let part = |part, source: &Option<String>, kind| {
            let source = source.as_deref();
            let parsed = source.map(|source| Template::parse(source, kind)).transpose();
            parsed.map_err(|error| PartError { part, error })
        };
        Ok(Parsed {
            subject: part("subject", &self.subject, Kind::Subject)?,
            html: part("html", &self.html, Kind::Html)?,
            text: part("text", &self.text, Kind::Text)?,
            amp: part("amp", &self.amp, Kind::Html)?,
        })
    }
}

impl Parsed {
    /// The names of the values that any part uses, sorted.
    pub fn names(&self) -> BTreeSet<String> {
        let parts = [&self.subject, &self.html, &self.text, &self.amp];
        let names = parts.into_iter().flatten().flat_map(Template::names);
        names.map(str::to_owned).collect()
    }

    /// Writes every part; all of them share one budget.
    pub fn render(&self, variables: &Value) -> Result<Rendered, PartError> {
        let mut budget = Budget::default();
        let mut part = |part, template: &Option<Template>| {
            let template = template.as_ref();
            let rendered = template
                .map(|template| template.render(variables, &mut budget))
                .transpose();
            rendered.map_err(|error| PartError { part, error })
        };
        Ok(Rendered {
            subject: part("subject", &self.subject)?,
            html: part("html", &self.html)?,
            text: part("text", &self.text)?,
            amp: part("amp", &self.amp)?,
        })
    }
}
