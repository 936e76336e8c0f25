//! Whom we believe over TLS: exactly the authority stored at login, nothing of the system's.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};

use crate::trouble::Trouble;

/// Makes aws-lc-rs the provider of this process. First thing in `main`.
pub(crate) fn install_provider() {
    // It fails only when a provider is there already: then there is nothing to do.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// A TLS client that believes the certificates in `pem` only.
pub(crate) fn client_config(pem: &[u8]) -> Result<ClientConfig, Trouble> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| not_pem(&error.to_string()))?;
    }
    Ok(ClientConfig::builder().with_root_certificates(Arc::new(roots)).with_no_client_auth())
}

/// SHA-256 of the first certificate, as lower-case hex.
pub(crate) fn fingerprint(pem: &[u8]) -> Result<String, Trouble> {
    let certificates = certificates(pem)?;
    certificates.first().map(|first| hex::encode(Sha256::digest(first))).ok_or_else(|| not_pem("it is empty"))
}

/// Whether two fingerprints are equal, whatever their case, colons and `sha256:` prefix.
pub(crate) fn same_fingerprint(a: &str, b: &str) -> bool {
    let plain = |text: &str| -> String {
        let text = text.trim().to_ascii_lowercase();
        text.strip_prefix("sha256:").unwrap_or(&text).chars().filter(char::is_ascii_hexdigit).collect()
    };
    plain(a) == plain(b)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| not_pem(&error.to_string()))?;
    if found.is_empty() { Err(not_pem("there is no certificate in it")) } else { Ok(found) }
}

fn not_pem(why: &str) -> Trouble {
    Trouble::input(
        format!("the certificate authority cannot be used: {why}"),
        "give the `ca.pem` of the installation, a PEM file with BEGIN CERTIFICATE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_compare_by_value() {
        assert!(same_fingerprint("SHA256:AB:cd", "abCD"));
        assert!(!same_fingerprint("abcd", "abce"));
    }

    #[test]
    fn what_is_no_certificate_is_said() {
        assert!(matches!(client_config(b"hello"), Err(Trouble::Input { .. })));
    }
}
