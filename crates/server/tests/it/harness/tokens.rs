//! Session tokens, right and wrong, put together by hand: what is sent is what a test wrote.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What an issuer signs with.
pub(crate) struct SigningKey {
    id: String,
    kind: Kind,
}

enum Kind {
    Hs256(Vec<u8>),
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl SigningKey {
    pub(crate) fn hs256(secret: impl AsRef<[u8]>) -> Self {
        Self::new("shared", Kind::Hs256(secret.as_ref().to_vec()))
    }

    pub(crate) fn es256(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(id, Kind::Es256(pair))
    }

    pub(crate) fn rs256(id: &str) -> Self {
        Self::new(id, Kind::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    fn new(id: &str, kind: Kind) -> Self {
        Self {
            id: id.to_owned(),
            kind,
        }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Hs256(_) => "HS256",
            Kind::Es256(_) => "ES256",
            Kind::Rs256(_) => "RS256",
        }
    }

    /// The header of an honest token.
    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.id})
    }

    /// An honest token.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// A token with any header, truly signed.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// A token of any text, truly signed.
    pub(crate) fn token_of(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = base64url(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a test may draw what the server may not"
    )]
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Hs256(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Kind::Es256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Kind::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// The key as it is published.
    pub(crate) fn published(&self) -> Value {
        let (id, alg) = (&self.id, self.algorithm());
        match &self.kind {
            Kind::Hs256(_) => panic!("a secret is not published"),
            Kind::Es256(_) => {
                let point = self.public_bytes();
                let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": alg})
            }
            Kind::Rs256(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let (n, e) = (
                    n.big_endian_without_leading_zero(),
                    e.big_endian_without_leading_zero(),
                );
                json!({"kty": "RSA", "n": base64url(n), "e": base64url(e), "kid": id, "use": "sig", "alg": alg})
            }
        }
    }

    /// The public key's own bytes: a point, or modulus and exponent in DER.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Hs256(_) => panic!("there is no public half of a secret"),
            Kind::Es256(pair) => pair.public_key().as_ref().to_vec(),
            Kind::Rs256(pair) => pair.public_key().as_ref().to_vec(),
        }
    }
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
