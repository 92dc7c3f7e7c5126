//! Which providers there are, and what each wants to know of an account.

use super::mailgun::{self, Mailgun};
use super::postmark::{self, Postmark};
use super::provider::Provider;
use super::resend::{self, Resend};
use super::sendgrid::{self, SendGrid};
use super::ses::{self, Ses};
use super::smtp::Server;
use crate::secret::Secret;
use sealwright_mail::address::Domain;
use serde_json::json;

/// Characters of a credential.
const CREDENTIAL_CHARS_MAX: usize = 512;
/// Mailgun's regions.
const MAILGUN_REGIONS: [&str; 2] = ["us", "eu"];

/// A provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Resend.
    Resend,
    /// Postmark.
    Postmark,
    /// Amazon SES.
    Ses,
    /// SendGrid.
    SendGrid,
    /// Mailgun.
    Mailgun,
    /// Any SMTP server.
    Smtp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Self::Resend,
        Self::Postmark,
        Self::Ses,
        Self::SendGrid,
        Self::Mailgun,
        Self::Smtp,
    ];

    /// The provider as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Postmark => "postmark",
            Self::Ses => "ses",
            Self::SendGrid => "sendgrid",
            Self::Mailgun => "mailgun",
            Self::Smtp => "smtp",
        }
    }

    /// Reads a provider.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// What gives power over an account. Which of them a provider has is said by [`Account::check`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Resend, SendGrid, Mailgun.
    pub api_key: Option<Secret<String>>,
    /// Postmark.
    pub server_token: Option<Secret<String>>,
    /// SES.
    pub access_key_id: Option<Secret<String>>,
    /// SES.
    pub secret_access_key: Option<Secret<String>>,
    /// SMTP: the server's name or address.
    pub host: Option<Secret<String>>,
    /// SMTP: the port, in digits.
    pub port: Option<Secret<String>>,
    /// SMTP: `implicit` or `starttls`.
    pub tls: Option<Secret<String>>,
    /// SMTP.
    pub username: Option<Secret<String>>,
    /// SMTP.
    pub password: Option<Secret<String>>,
}

impl Credentials {
    fn fields(&self) -> [(&'static str, Option<&Secret<String>>); 9] {
        [
            ("apiKey", self.api_key.as_ref()),
            ("serverToken", self.server_token.as_ref()),
            ("accessKeyId", self.access_key_id.as_ref()),
            ("secretAccessKey", self.secret_access_key.as_ref()),
            ("host", self.host.as_ref()),
            ("port", self.port.as_ref()),
            ("tls", self.tls.as_ref()),
            ("username", self.username.as_ref()),
            ("password", self.password.as_ref()),
        ]
    }

    /// The form in which they are sealed.
    pub(super) fn stored(&self) -> Vec<u8> {
        let given = self.fields().into_iter();
        let given = given.filter_map(|(name, secret)| Some((name.to_owned(), json!(secret?.expose()))));
        serde_json::Value::Object(given.collect())
            .to_string()
            .into_bytes()
    }

    /// Reads that form.
    pub(super) fn from_stored(stored: &[u8]) -> Self {
        let json: serde_json::Value = serde_json::from_slice(stored).unwrap_or_default();
        let of = |name: &str| json[name].as_str().map(|text| Secret::new(text.to_owned()));
        Self {
            api_key: of("apiKey"),
            server_token: of("serverToken"),
            access_key_id: of("accessKeyId"),
            secret_access_key: of("secretAccessKey"),
            host: of("host"),
            port: of("port"),
            tls: of("tls"),
            username: of("username"),
            password: of("password"),
        }
    }
}

/// An account at a provider.
#[derive(Debug, Clone)]
pub struct Account {
    /// The provider.
    pub kind: Kind,
    /// What gives power over it.
    pub credentials: Credentials,
    /// Where it is: SES and Mailgun have regions.
    pub region: Option<String>,
    /// Which of its domains sends: Mailgun's API is one for each.
    pub domain: Option<String>,
}

/// How an account is asked.
pub enum Opened {
    /// By requests to its API.
    Api(Box<dyn Provider>),
    /// By SMTP.
    Smtp(Server),
}

/// What is wrong with an account: the field, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct AccountError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub what: String,
}

pub(super) fn wrong(field: &'static str, what: impl Into<String>) -> AccountError {
    let what = what.into();
    AccountError { field, what }
}

impl Account {
    /// Whether it has all that its provider wants, and nothing else.
    ///
    /// # Errors
    /// [`AccountError`] names the first field that is missing, unfit or of another provider.
    pub fn check(&self) -> Result<(), AccountError> {
        let wanted: &[&str] = match self.kind {
            Kind::Resend | Kind::SendGrid | Kind::Mailgun => &["apiKey"],
            Kind::Postmark => &["serverToken"],
            Kind::Ses => &["accessKeyId", "secretAccessKey"],
            Kind::Smtp => &["host", "port", "tls", "username", "password"],
        };
        for (name, given) in self.credentials.fields() {
            let field = match name {
                "apiKey" => "credentials/apiKey",
                "serverToken" => "credentials/serverToken",
                "accessKeyId" => "credentials/accessKeyId",
                "host" => "credentials/host",
                "port" => "credentials/port",
                "tls" => "credentials/tls",
                "username" => "credentials/username",
                "password" => "credentials/password",
                _ => "credentials/secretAccessKey",
            };
            match (given, wanted.contains(&name)) {
                (None, true) => return Err(wrong(field, format!("{} needs it", self.kind.name()))),
                (Some(_), false) => {
                    return Err(wrong(
                        field,
                        format!("{} has no such credential", self.kind.name()),
                    ));
                }
                (Some(secret), true) if self.kind != Kind::Smtp && !is_fit(secret) => {
                    let what =
                        format!("a credential has 1 to {CREDENTIAL_CHARS_MAX} printable ASCII characters");
                    return Err(wrong(field, what));
                }
                (Some(_), true) | (None, false) => {}
            }
        }
        if self.kind == Kind::Smtp {
            Server::of(&self.credentials)?;
        }
        self.check_region()?;
        match (self.kind, &self.domain) {
            (Kind::Mailgun, None) => Err(wrong("sendingDomain", "mailgun needs it")),
            (Kind::Mailgun, Some(domain)) => match Domain::parse(domain) {
                Ok(parsed) if parsed.as_str() == domain => Ok(()),
                _ => Err(wrong("sendingDomain", "expected a domain, as it is known there")),
            },
            (_, None) => Ok(()),
            (_, Some(_)) => Err(wrong("sendingDomain", "only mailgun is told of a domain")),
        }
    }

    fn check_region(&self) -> Result<(), AccountError> {
        let is_region = |region: &str| {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (4..=32).contains(&region.len()) && region.bytes().all(fits)
        };
        match (self.kind, self.region.as_deref()) {
            (Kind::Ses, None) => Err(wrong("region", "ses needs it, such as eu-central-1")),
            (Kind::Ses, Some(region)) if !is_region(region) => {
                Err(wrong("region", "expected a region of AWS, such as eu-central-1"))
            }
            (Kind::Mailgun, Some(region)) if !MAILGUN_REGIONS.contains(&region) => {
                Err(wrong("region", "mailgun has the regions us and eu"))
            }
            (Kind::Resend | Kind::Postmark | Kind::SendGrid | Kind::Smtp, Some(_)) => Err(wrong(
                "region",
                format!("{} has no regions to choose from", self.kind.name()),
            )),
            (Kind::Ses | Kind::Mailgun, Some(_)) | (_, None) => Ok(()),
        }
    }

    /// The provider, ready to be asked: at its own address, or below `base`, where the operator's own stand-in for all APIs is.
    ///
    /// # Errors
    /// [`AccountError`] when it is a server whose fields are not fit.
    pub fn open(&self, base: Option<&str>) -> Result<Opened, AccountError> {
        let base = |own: String| base.map_or(own, |base| format!("{base}/{}", self.kind.name()));
        let secret =
            |secret: &Option<Secret<String>>| secret.clone().unwrap_or_else(|| Secret::new(String::new()));
        let given = &self.credentials;
        let api: Box<dyn Provider> = match self.kind {
            Kind::Smtp => return Server::of(given).map(Opened::Smtp),
            Kind::Resend => Box::new(Resend {
                base: base(resend::BASE.to_owned()),
                api_key: secret(&given.api_key),
            }),
            Kind::Postmark => Box::new(Postmark {
                base: base(postmark::BASE.to_owned()),
                server_token: secret(&given.server_token),
            }),
            Kind::Ses => {
                let region = self.region.clone().unwrap_or_default();
                Box::new(Ses {
                    base: base(ses::base(&region)),
                    region,
                    access_key_id: secret(&given.access_key_id).expose().clone(),
                    secret_access_key: secret(&given.secret_access_key),
                })
            }
            Kind::SendGrid => Box::new(SendGrid {
                base: base(sendgrid::BASE.to_owned()),
                api_key: secret(&given.api_key),
            }),
            Kind::Mailgun => Box::new(Mailgun {
                base: base(mailgun::base(self.region.as_deref())),
                domain: self.domain.clone().unwrap_or_default(),
                api_key: secret(&given.api_key),
            }),
        };
        Ok(Opened::Api(api))
    }
}

pub(super) fn is_fit(secret: &Secret<String>) -> bool {
    let text = secret.expose();
    (1..=CREDENTIAL_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn account(kind: Kind, secrets: &[&str], region: Option<&str>, domain: Option<&str>) -> Account {
        let of = |name: &str| secrets.contains(&name).then(|| Secret::new(format!("a-{name}")));
        Account {
            kind,
            credentials: Credentials {
                api_key: of("apiKey"),
                server_token: of("serverToken"),
                access_key_id: of("accessKeyId"),
                secret_access_key: of("secretAccessKey"),
                ..Credentials::default()
            },
            region: region.map(str::to_owned),
            domain: domain.map(str::to_owned),
        }
    }

    #[test]
    fn an_account_has_what_its_provider_wants_and_nothing_else() {
        let aws = &["accessKeyId", "secretAccessKey"][..];
        let mailgun = Some("mg.shop.example");
        for (kind, secrets, region, domain, refused) in [
            (Kind::Resend, &["apiKey"][..], None, None, None),
            (Kind::Resend, &[], None, None, Some("credentials/apiKey")),
            (
                Kind::Resend,
                &["apiKey", "serverToken"],
                None,
                None,
                Some("credentials/serverToken"),
            ),
            (Kind::Resend, &["apiKey"], Some("eu"), None, Some("region")),
            (Kind::Postmark, &["serverToken"], None, None, None),
            (
                Kind::Postmark,
                &["apiKey"],
                None,
                None,
                Some("credentials/apiKey"),
            ),
            (Kind::Ses, aws, Some("eu-central-1"), None, None),
            (Kind::Ses, aws, None, None, Some("region")),
            (Kind::Ses, aws, Some("evil.example/#"), None, Some("region")),
            (
                Kind::Ses,
                &["accessKeyId"],
                Some("eu-central-1"),
                None,
                Some("credentials/secretAccessKey"),
            ),
            (Kind::SendGrid, &["apiKey"], None, mailgun, Some("sendingDomain")),
            (Kind::Mailgun, &["apiKey"], Some("eu"), mailgun, None),
            (Kind::Mailgun, &["apiKey"], Some("moon"), mailgun, Some("region")),
            (Kind::Mailgun, &["apiKey"], None, None, Some("sendingDomain")),
            (
                Kind::Mailgun,
                &["apiKey"],
                None,
                Some("a/../b"),
                Some("sendingDomain"),
            ),
        ] {
            let field = account(kind, secrets, region, domain)
                .check()
                .err()
                .map(|error| error.field);
            assert_eq!(field, refused, "{kind:?} {secrets:?} {region:?} {domain:?}");
        }
        let mut broken = account(Kind::Resend, &["apiKey"], None, None);
        broken.credentials.api_key = Some(Secret::new("re_1\r\nX-Evil: 1".to_owned()));
        assert_eq!(broken.check().unwrap_err().field, "credentials/apiKey");
    }

    #[test]
    fn credentials_read_back_as_they_were_sealed() {
        let given = account(Kind::Ses, &["accessKeyId", "secretAccessKey"], None, None).credentials;
        assert_eq!(Credentials::from_stored(&given.stored()), given);
    }
}
