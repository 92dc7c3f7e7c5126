use super::DkimError;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use zeroize::Zeroizing;

/// Octets of the shortest and longest RSA modulus taken: RFC 8301 §3.2 asks signers for 2048 bits
/// and verifiers for no more than 4096.
const RSA_MODULUS_OCTETS: std::ops::RangeInclusive<usize> = 256..=512;

/// A private key that signs messages. `Debug` shows its algorithm only.
pub struct SigningKey {
    kind: Kind,
    /// What `p=` publishes.
    public: Vec<u8>,
}

enum Kind {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// Reads an RSA key from PKCS#8 DER.
    ///
    /// # Errors
    /// [`DkimError::Key`], also for fewer than 2048 or more than 4096 bits.
    pub fn rsa_pkcs8(der: &[u8]) -> Result<Self, DkimError> {
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| DkimError::Key)?;
        if !RSA_MODULUS_OCTETS.contains(&pair.public_modulus_len()) {
            return Err(DkimError::Key);
        }
        Self::from_rsa(pair)
    }

    /// Reads an Ed25519 key from PKCS#8 DER, version 1 or 2.
    ///
    /// # Errors
    /// [`DkimError::Key`].
    pub fn ed25519_pkcs8(der: &[u8]) -> Result<Self, DkimError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| DkimError::Key)?;
        Ok(Self::from_ed25519(pair))
    }

    /// Takes an Ed25519 key as its 32-octet seed (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`DkimError::Key`].
    pub fn ed25519_seed(seed: &[u8]) -> Result<Self, DkimError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| DkimError::Key)?;
        Ok(Self::from_ed25519(pair))
    }

    /// Generates an RSA key of 2048 bits; the PKCS#8 DER is for safe keeping and is wiped on drop.
    ///
    /// The one size to use: some receivers ignore longer keys, and a longer one needs a TXT record
    /// that many DNS panels can't hold. Draws from the system's random source and takes about a
    /// tenth of a second.
    ///
    /// # Errors
    /// [`DkimError::Crypto`].
    pub fn generate_rsa_2048() -> Result<(Zeroizing<Vec<u8>>, Self), DkimError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| DkimError::Crypto)?;
        let der = pair.as_der().map_err(|_| DkimError::Crypto)?;
        let der = Zeroizing::new(der.as_ref().to_vec());
        Ok((der, Self::from_rsa(pair)?))
    }

    /// Generates an Ed25519 key; the PKCS#8 DER is for safe keeping and is wiped on drop.
    ///
    /// Draws from the system's random source. As a second signature only: several large receivers
    /// don't know the algorithm.
    ///
    /// # Errors
    /// [`DkimError::Crypto`].
    pub fn generate_ed25519() -> Result<(Zeroizing<Vec<u8>>, Self), DkimError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| DkimError::Crypto)?;
        let der = pair.to_pkcs8v1().map_err(|_| DkimError::Crypto)?;
        let der = Zeroizing::new(der.as_ref().to_vec());
        Ok((der, Self::from_ed25519(pair)))
    }

    /// The `a=` value of its signatures.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Rsa(_) => "rsa-sha256",
            Kind::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// The text of the TXT record under `selector._domainkey.domain` (RFC 6376 §3.6.1).
    ///
    /// Longer than 255 octets for RSA: a zone file splits it into several strings.
    #[must_use]
    pub fn dns_record(&self) -> String {
        let key_type = match self.kind {
            Kind::Rsa(_) => "rsa",
            Kind::Ed25519(_) => "ed25519",
        };
        format!("v=DKIM1; k={key_type}; p={}", STANDARD.encode(&self.public))
    }

    /// Signs the canonical header section (RFC 6376 §3.7, RFC 8463 §3).
    pub(super) fn sign(&self, canonical: &[u8]) -> Result<Vec<u8>, DkimError> {
        let hash = digest(&SHA256, canonical);
        match &self.kind {
            Kind::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, &hash, &mut signature)
                    .map_err(|_| DkimError::Crypto)?;
                Ok(signature)
            }
            Kind::Ed25519(pair) => {
                let signature = pair.try_sign(hash.as_ref()).map_err(|_| DkimError::Crypto)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    fn from_rsa(pair: RsaKeyPair) -> Result<Self, DkimError> {
        // RFC 6376 §3.6.1 publishes an RSA key as SubjectPublicKeyInfo.
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| DkimError::Key)?;
        let public = spki.as_ref().to_vec();
        Ok(Self {
            kind: Kind::Rsa(Box::new(pair)),
            public,
        })
    }

    fn from_ed25519(pair: Ed25519KeyPair) -> Self {
        // RFC 8463 §4.2 publishes the bare 32 octets.
        let public = pair.public_key().as_ref().to_vec();
        Self {
            kind: Kind::Ed25519(Box::new(pair)),
            public,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.algorithm()).finish()
    }
}
