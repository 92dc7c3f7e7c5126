//! The DKIM verdict of a captured message, by an implementation that is not the one that signed.

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

/// The records that exist; nothing else is ever asked for, and nothing is added.
struct Records(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// `pass`, or why not, with the given records (host name, text) as the whole DNS.
pub async fn verdict(message: &[u8], records: &[(String, String)]) -> String {
    let mut known = HashMap::new();
    for (host, text) in records {
        let Ok(key) = DomainKey::parse(text.as_bytes()) else {
            continue;
        };
        known.insert(format!("{host}.").into_boxed_str(), Txt::DomainKey(Arc::new(key)));
    }
    let Some(parsed) = AuthenticatedMessage::parse(message) else {
        return "the message can't be parsed".to_owned();
    };
    // Without name servers: a record that is not known is not looked for.
    let Ok(authenticator) = MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default())
    else {
        return "the verifier could not be started".to_owned();
    };
    let records = Records(known);
    let outputs = authenticator
        .verify_dkim(Parameters::new(&parsed).with_txt_cache(&records))
        .await;
    match outputs
        .iter()
        .find(|output| !matches!(output.result(), DkimResult::Pass))
    {
        Some(failed) => format!("fail: {:?}", failed.result()),
        None if outputs.is_empty() => "not signed".to_owned(),
        None => "pass".to_owned(),
    }
}
