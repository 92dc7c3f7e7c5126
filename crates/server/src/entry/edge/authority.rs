//! A local certificate authority, made for development.

use super::tls::{TlsSettingError, file_error};
use super::x509;
use crate::clock::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// What browsers accept of a server's certificate is 398 days. The authority's own lives as long: its key is gone by then.
const VALID_FOR: Duration = DAY.saturating_mul(396);
/// Clocks of clients on this machine, in containers mostly, may be behind.
const VALID_BEFORE: Duration = DAY;
/// With less than this left, new ones are made at the next start.
const RENEWED_BEFORE_END: Duration = DAY.saturating_mul(30);
/// The latest beginning: 31 December 9999 is the last day that can be written, and a certificate has to end before it.
const SECONDS_MAX: i64 = 253_402_214_400 - 400 * 86_400;

/// Files of a local certificate authority and of a server certificate that it issued.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The authority's certificate: what clients are told to trust.
    pub ca_cert: PathBuf,
    /// The server's certificate.
    pub cert: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Authority {
    /// Uses the files in `folder`, making them anew if they are not all there and good for a while. For `localhost` and the loopback
    /// addresses, nothing else.
    pub fn in_folder(folder: &Path, now: Timestamp) -> Result<Self, TlsSettingError> {
        let files = Self {
            ca_cert: folder.join("ca.pem"),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        let is_current = [&files.ca_cert, &files.cert].map(|file| is_current(file, now));
        if files.key.exists() && is_current == [true, true] {
            return Ok(files);
        }
        let made = make(now).map_err(|error| TlsSettingError::Pair(error.to_string()))?;
        write(&files.ca_cert, &made.ca_cert)?;
        write(&files.key, &made.key)?;
        write(&files.cert, &made.cert)?;
        Ok(files)
    }
}

/// Whether there is such a certificate, of a life like those made here, and `now` is well inside it. It is not when the clock was wrong
/// when it was made, or is wrong now.
fn is_current(file: &Path, now: Timestamp) -> bool {
    let certificate = CertificateDer::from_pem_file(file).ok();
    let validity = certificate.and_then(|certificate| x509::validity(&certificate));
    validity.is_some_and(|(from, until)| {
        from <= now && now.plus(RENEWED_BEFORE_END) < until && until.since(from) <= VALID_BEFORE + VALID_FOR
    })
}

struct Made {
    ca_cert: String,
    cert: String,
    key: String,
}

/// Parameters of a certificate that names its authority's key, and is good from a day before `now` on.
fn params(names: &[&str], now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    // A clock that is years off is no reason not to start; what it says is only kept where dates can be written.
    let now = u64::try_from(now.seconds().clamp(0, SECONDS_MAX)).unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now).saturating_sub(VALID_BEFORE);
    params.not_after = epoch + Duration::from_secs(now).saturating_add(VALID_FOR);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn make(now: Timestamp) -> Result<Made, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = params(&[], now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.distinguished_name
        .push(DnType::CommonName, "Sealwright local development authority");
    let ca_cert = ca.self_signed(&ca_key)?.pem();
    // The authority's key is dropped here: nothing else can ever be issued by it.
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let mut server = params(&["localhost", "127.0.0.1", "::1"], now)?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let cert = server.signed_by(&key, &issuer)?.pem();
    Ok(Made {
        ca_cert,
        cert,
        key: key.serialize_pem(),
    })
}

fn write(path: &Path, text: &str) -> Result<(), TlsSettingError> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let mut file = opened.map_err(|error| file_error(path, error))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| file_error(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(date: &str) -> Timestamp {
        Timestamp::parse(date).unwrap()
    }

    fn lives(authority: &Authority) -> [(Timestamp, Timestamp); 2] {
        [&authority.ca_cert, &authority.cert]
            .map(|file| x509::validity(&CertificateDer::from_pem_file(file).unwrap()).unwrap())
    }

    #[test]
    fn certificates_live_for_a_year_and_are_made_anew_before_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::in_folder(folder.path(), at("2026-11-24")).unwrap();
        assert_eq!(lives(&first), [(at("2026-11-23"), at("2027-12-25")); 2]);
        let texts =
            || [&first.ca_cert, &first.cert, &first.key].map(|file| std::fs::read_to_string(file).unwrap());
        let made = texts();
        for (now, is_kept) in [
            ("2026-11-24", true),
            ("2027-11-24", true),
            ("2027-11-25", false),
            ("2029-01-01", false),
            ("2026-11-24", false), // the clock was wrong, and is right again
            ("2026-11-24", true),
        ] {
            let before = texts();
            Authority::in_folder(folder.path(), at(now)).unwrap();
            assert_eq!(texts() == before, is_kept, "{now}");
        }
        assert_ne!(texts(), made);
    }

    #[test]
    fn a_clock_far_off_breaks_nothing() {
        for now in [
            Timestamp::from_micros(i64::MIN),
            Timestamp::from_micros(0),
            at("9999-06-01"),
            Timestamp::from_micros(i64::MAX),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let authority = Authority::in_folder(folder.path(), now).unwrap();
            let [(from, until), _] = lives(&authority);
            assert!(until.since(from) >= VALID_FOR && until.since(from) <= VALID_BEFORE + VALID_FOR);
        }
    }

    #[test]
    fn files_of_another_make_or_of_none_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2026-11-24");
        let authority = Authority::in_folder(folder.path(), now).unwrap();
        let key = KeyPair::generate().unwrap();
        // Without dates of its own it is good for two thousand years.
        let endless = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let endless = endless.self_signed(&key).unwrap().pem();
        for text in [endless.as_str(), "", "nonsense"] {
            std::fs::write(&authority.cert, text).unwrap();
            Authority::in_folder(folder.path(), now).unwrap();
            assert_eq!(lives(&authority), [(at("2026-11-23"), at("2027-12-25")); 2]);
        }
    }
}
