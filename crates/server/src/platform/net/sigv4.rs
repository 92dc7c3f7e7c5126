//! Signs requests to AWS (Signature Version 4).
//!
//! For requests without a query whose path needs no encoding: that is how SES and KMS are called. What is signed is the method, the
//! path, all given headers, the time and the body; the secret never leaves.

use crate::clock::Timestamp;
use crate::secret::Secret;
use aws_lc_rs::{digest, hmac};
use std::fmt::Write as _;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs, and for which service.
pub struct Signer<'a> {
    /// The public half of the credentials.
    pub access_key_id: &'a str,
    /// The other half.
    pub secret_access_key: &'a Secret<String>,
    /// The region, such as `eu-central-1`.
    pub region: &'a str,
    /// The service's name in signatures, such as `ses`.
    pub service: &'a str,
}

/// What is signed.
pub struct Signable<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, which holds nothing that would have to be encoded.
    pub path: &'a str,
    /// Headers in lower case, sorted by name, `host` among them; `x-amz-date` is added.
    pub headers: &'a [(&'a str, &'a str)],
    /// The content.
    pub body: &'a [u8],
}

/// What goes with the request.
pub struct Signature {
    /// The value of `x-amz-date`.
    pub date: String,
    /// The value of `authorization`.
    pub authorization: String,
}

impl Signer<'_> {
    /// Signs a request that is sent at `at`.
    pub fn sign(&self, request: &Signable<'_>, at: Timestamp) -> Signature {
        let date = basic(at);
        let day = date.get(..8).unwrap_or_default();
        let mut headers: Vec<_> = request.headers.to_vec();
        headers.push(("x-amz-date", &date));
        headers.sort_unstable();
        let names = headers
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let (method, path) = (request.method, request.path);
        let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{}", sha256(request.body));
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let signature = hex(mac(self.key(day).as_ref(), &text).as_ref());
        let id = self.access_key_id;
        Signature {
            authorization: format!(
                "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
            ),
            date,
        }
    }

    /// The key of a day, a region and a service.
    fn key(&self, day: &str) -> hmac::Tag {
        let secret = Secret::new(format!("AWS4{}", self.secret_access_key.expose()));
        let of_day = mac(secret.expose().as_bytes(), day);
        let of_region = mac(of_day.as_ref(), self.region);
        let of_service = mac(of_region.as_ref(), self.service);
        mac(of_service.as_ref(), "aws4_request")
    }
}

/// ISO 8601 without punctuation, to the second.
fn basic(at: Timestamp) -> String {
    let text = at.rfc3339();
    let digits = text
        .get(..19)
        .unwrap_or_default()
        .chars()
        .filter(|letter| !matches!(letter, '-' | ':'));
    digits.chain(['Z']).collect()
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Method, path, headers, body, names of signed headers, signature.
    type Vector = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
        &'static str,
        &'static str,
    );

    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    /// From the test suite that AWS publishes: get-vanilla, post-vanilla, post-x-www-form-urlencoded.
    const VECTORS: [Vector; 3] = [
        (
            "GET",
            "/",
            &[HOST],
            "",
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "/",
            &[HOST],
            "",
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "POST",
            "/",
            &[FORM, HOST],
            "Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ];

    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret_access_key: &secret,
            region: "us-east-1",
            service: "service",
        };
        let at = Timestamp::parse_instant("2015-08-30T12:36:00Z").unwrap();
        for (method, path, headers, body, names, signature) in VECTORS {
            let signed = signer.sign(
                &Signable {
                    method,
                    path,
                    headers,
                    body: body.as_bytes(),
                },
                at,
            );
            assert_eq!(signed.date, "20150830T123600Z");
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, \
                 Signature={signature}"
            );
            assert_eq!(signed.authorization, expected, "{method} {body}");
        }
    }
}
