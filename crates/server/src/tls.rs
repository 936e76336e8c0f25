//! TLS: the installation's own CA and server certificate, or given files; both reloadable without dropping anybody.
//!
//! The CA is made once by `init` and lives in the vault. The server's certificate is signed by it for [`SERVER_DAYS`] days
//! and renewed at start and once a day when less than [`RENEW_DAYS`] are left.

use std::path::PathBuf;
use std::sync::Arc;
use std::{error, fmt, fs, io};

use arc_swap::ArcSwap;
use daypass_access::time::Micros;
use daypass_vault::{Vault, VaultError, namespace};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::config::Tls;

/// Life of a server certificate, in days: what browsers accept at most, less a margin.
const SERVER_DAYS: i64 = 397;
/// It is renewed when so many days are left.
const RENEW_DAYS: i64 = 60;
/// Life of the CA, in days.
const CA_DAYS: i64 = 3653;

const CA_CERT: &str = "ca-cert";
const CA_KEY: &str = "ca-key";
const SERVER_CERT: &str = "server-cert";
const SERVER_KEY: &str = "server-key";
const SERVER_NAMES: &str = "server-names";
const SERVER_ENDS: &str = "server-ends";

/// Why there is no usable certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key is malformed, or the two do not belong together.
    Malformed(&'static str),
    /// A certificate cannot be made.
    Unmakeable(rcgen::Error),
    /// The vault.
    Vault(VaultError),
    /// The gateway does not take it.
    Gateway(daypass_gateway::tls::TlsError),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, .. } => write!(f, "`{}` cannot be read", path.display()),
            Self::Malformed(what) => write!(f, "the {what} is malformed or does not fit"),
            Self::Unmakeable(_) => f.write_str("a certificate cannot be made"),
            Self::Vault(_) => f.write_str("the vault does not hold the certificates"),
            Self::Gateway(_) => f.write_str("the gateway does not take the certificate"),
        }
    }
}

impl error::Error for TlsError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::Unmakeable(source) => Some(source),
            Self::Vault(source) => Some(source),
            Self::Gateway(source) => Some(source),
            Self::Malformed(_) => None,
        }
    }
}

/// The server's certificate, exchangeable while connections run.
#[derive(Debug)]
pub struct ServerCertificate(ArcSwap<CertifiedKey>);

impl ServerCertificate {
    /// Takes a certificate in.
    #[must_use]
    pub fn new(certified: Arc<CertifiedKey>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(certified)))
    }

    /// Uses another one from the next handshake on.
    pub fn replace(&self, certified: Arc<CertifiedKey>) {
        self.0.store(certified);
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Makes the CA and the first server certificate, for `names` (host names and addresses), into the vault. Returns the CA's
/// certificate in PEM.
///
/// # Errors
/// When a name is no name, or the vault cannot be written.
pub fn make(vault: &Vault, names: &[String], organisation: &str, now: Micros) -> Result<String, TlsError> {
    let key = KeyPair::generate().map_err(TlsError::Unmakeable)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(TlsError::Unmakeable)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, format!("Daypass CA of {organisation}"));
    live(&mut params, now, CA_DAYS)?;
    let ca = params.self_signed(&key).map_err(TlsError::Unmakeable)?.pem();
    let pem = Zeroizing::new(key.serialize_pem());
    vault
        .put_all(&[
            (namespace::TLS, CA_CERT, ca.as_bytes()),
            (namespace::TLS, CA_KEY, pem.as_bytes()),
            (namespace::TLS, SERVER_NAMES, names.join("\n").as_bytes()),
        ])
        .map_err(TlsError::Vault)?;
    issue(vault, now)?;
    Ok(ca)
}

/// The CA's certificate in PEM, when there is a CA.
#[must_use]
pub fn ca_pem(vault: &Vault) -> Option<String> {
    text(vault, CA_CERT).ok().map(|pem| pem.to_string())
}

/// A certificate chain and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    /// The chain.
    pub certificate: Zeroizing<String>,
    /// The key.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(…)")
    }
}

impl Pair {
    /// The pair as rustls takes it.
    ///
    /// # Errors
    /// When the two are malformed or do not belong together.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        certified(&self.certificate, &self.key)
    }
}

/// The certificate to serve with: the given files, or the one in the vault, renewed when it is due.
///
/// # Errors
/// When files or vault do not hold a certificate.
pub fn load(files: Option<&Tls>, vault: &Vault, now: Micros) -> Result<Pair, TlsError> {
    if let Some(files) = files {
        let read = |path: &PathBuf| {
            let unreadable = |source| TlsError::Unreadable { path: path.clone(), source };
            fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)
        };
        return Ok(Pair { certificate: read(&files.certificate)?, key: read(&files.key)? });
    }
    let ends = text(vault, SERVER_ENDS).ok().and_then(|text| text.parse::<u64>().ok()).map(Micros);
    let margin = u64::try_from(RENEW_DAYS).unwrap_or(0) * 86_400;
    if ends.is_none_or(|ends| now.plus_s(margin) >= ends) {
        issue(vault, now)?;
    }
    Ok(Pair { certificate: text(vault, SERVER_CERT)?, key: text(vault, SERVER_KEY)? })
}

/// The rustls configuration of the HTTP API.
///
/// # Errors
/// When the provider lacks TLS 1.2 and 1.3, which is a defect.
pub fn http_config(certificate: Arc<ServerCertificate>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsError::Malformed("provider"))?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Signs a new server certificate with a new key.
fn issue(vault: &Vault, now: Micros) -> Result<(), TlsError> {
    let ca_key = KeyPair::from_pem(&text(vault, CA_KEY)?).map_err(TlsError::Unmakeable)?;
    let issuer = Issuer::from_ca_cert_pem(&text(vault, CA_CERT)?, ca_key).map_err(TlsError::Unmakeable)?;
    let names: Vec<String> = text(vault, SERVER_NAMES)?.lines().map(str::to_owned).collect();
    let key = KeyPair::generate().map_err(TlsError::Unmakeable)?;
    let mut params = CertificateParams::new(names.clone()).map_err(TlsError::Unmakeable)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
    live(&mut params, now, SERVER_DAYS)?;
    let certificate = params.signed_by(&key, &issuer).map_err(TlsError::Unmakeable)?;
    let ends = now.plus_s(u64::try_from(SERVER_DAYS).unwrap_or(0) * 86_400);
    let pem = Zeroizing::new(key.serialize_pem());
    vault
        .put_all(&[
            (namespace::TLS, SERVER_CERT, certificate.pem().as_bytes()),
            (namespace::TLS, SERVER_KEY, pem.as_bytes()),
            (namespace::TLS, SERVER_ENDS, ends.0.to_string().as_bytes()),
        ])
        .map_err(TlsError::Vault)
}

fn text(vault: &Vault, name: &str) -> Result<Zeroizing<String>, TlsError> {
    let secret = vault.get(namespace::TLS, name);
    let text = secret.as_ref().and_then(|secret| secret.expose_str());
    text.map(|text| Zeroizing::new(text.to_owned())).ok_or(TlsError::Malformed("certificate in the vault"))
}

fn certified(certificate: &str, key: &str) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Malformed("certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::Malformed("key"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map(Arc::new)
        .map_err(|_| TlsError::Malformed("pair of certificate and key"))
}

/// Sets the certificate's life: from yesterday, for `days` days.
fn live(params: &mut CertificateParams, now: Micros, days: i64) -> Result<(), TlsError> {
    let (from, until) = (date(now, -1)?, date(now, days)?);
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    Ok(())
}

/// Year, month and day that are `days` after `now`.
fn date(now: Micros, days: i64) -> Result<(i32, u8, u8), TlsError> {
    let malformed = || TlsError::Malformed("clock");
    let at = i64::try_from(now.0 / 1_000_000)
        .ok()
        .and_then(|s| s.checked_add(days * 86_400))
        .ok_or_else(malformed)?;
    let day = Timestamp::from_second(at).map_err(|_| malformed())?.to_zoned(jiff::tz::TimeZone::UTC).date();
    let small = |part: i8| u8::try_from(part).map_err(|_| malformed());
    Ok((i32::from(day.year()), small(day.month())?, small(day.day())?))
}

#[cfg(test)]
mod tests {
    use daypass_vault::MasterKey;

    use super::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::create(&dir.path().join("vault"), MasterKey::new([1; 32])).unwrap();
        (dir, vault)
    }

    #[test]
    fn the_certificate_is_renewed_before_it_ends_and_the_ca_stays() {
        let (_dir, vault) = vault();
        let now = Micros(1_800_000_000_000_000);
        let ca = make(&vault, &["localhost".to_owned(), "127.0.0.1".to_owned()], "test", now).unwrap();
        let first = load(None, &vault, now).unwrap();
        let later = load(None, &vault, now.plus_s(300 * 86_400)).unwrap();
        assert_eq!(first.certificate, later.certificate);
        let renewed = load(None, &vault, now.plus_s(340 * 86_400)).unwrap();
        assert_ne!(first.certificate, renewed.certificate);
        assert_eq!(ca_pem(&vault).unwrap(), ca);
    }

    #[test]
    fn given_files_must_fit_together() {
        let (dir, vault) = vault();
        let now = Micros(1_800_000_000_000_000);
        make(&vault, &["localhost".to_owned()], "test", now).unwrap();
        let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        fs::write(&certificate, text(&vault, SERVER_CERT).unwrap().as_bytes()).unwrap();
        fs::write(&key, text(&vault, SERVER_KEY).unwrap().as_bytes()).unwrap();
        let files = Tls { certificate, key: key.clone() };
        load(Some(&files), &vault, now).unwrap().certified().unwrap();
        fs::write(&key, text(&vault, CA_KEY).unwrap().as_bytes()).unwrap();
        let other = load(Some(&files), &vault, now).unwrap().certified();
        assert!(matches!(other, Err(TlsError::Malformed(_))));
    }
}
