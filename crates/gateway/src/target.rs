//! From a resource and the name of a credential to what `upstream.rs` needs: the vault is read here.
//!
//! SECURITY: the credential is read for each connection and wiped after it. It is in no log, error or record.

use std::fmt;
use std::io;

use daypass_access::policy::Resource;
use daypass_pg::error::SqlState;
use daypass_pg::login_back::LoginFailure;
use daypass_pg::startup::{CancelKey, Version};
use daypass_vault::{Vault, namespace};
use rand::Rng;
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use crate::node::Node;
use crate::upstream::{Credential, Target, Upstream, UpstreamError};

/// A credential as the vault holds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    user: String,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    client_cert_pem: Option<String>,
    #[serde(default)]
    client_key_pem: Option<String>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.password.zeroize();
        self.client_key_pem.zeroize();
    }
}

/// Why a target was not reached. For the operator; the person learns that it was not.
#[derive(Debug)]
pub(crate) enum Unreached {
    /// The vault does not hold the credential, or it is malformed.
    NoCredential,
    /// The file of certificates to trust cannot be read.
    CaFile(io::Error),
    /// The way to it.
    Upstream(UpstreamError),
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredential => f.write_str("the vault holds no usable credential for it"),
            Self::CaFile(error) => write!(f, "its file of certificates to trust cannot be read: {error}"),
            Self::Upstream(error) => error.fmt(f),
        }
    }
}

impl Unreached {
    /// The SQLSTATE the person gets: the target's own when it is full, so that drivers try again.
    pub(crate) fn code(&self) -> SqlState {
        match self {
            Self::Upstream(UpstreamError::Login(LoginFailure::Refused { code, .. }))
                if code.0.starts_with(b"53") =>
            {
                *code
            }
            Self::Upstream(_) | Self::NoCredential | Self::CaFile(_) => SqlState::CANNOT_CONNECT,
        }
    }
}

/// The way to a target of one session.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) resource: Resource,
    pub(crate) credential: String,
}

impl Way {
    /// Logs in, with `parameters` in the startup message.
    pub(crate) async fn connect(
        &self,
        node: &Node,
        parameters: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Upstream, Unreached> {
        let (target, credential) = self.read(&node.vault)?;
        let mut nonce = [0; 18];
        rand::rng().fill_bytes(&mut nonce);
        let connecting = node.targets.connect(&target, &credential, parameters, nonce, Version::V3_0);
        connecting.await.map_err(Unreached::Upstream)
    }

    /// Asks the target to cancel what the session with that key runs.
    pub(crate) async fn cancel(&self, node: &Node, key: &CancelKey) -> Result<(), Unreached> {
        let (target, credential) = self.read(&node.vault)?;
        node.targets.cancel(&target, &credential, key).await.map_err(Unreached::Upstream)
    }

    fn read(&self, vault: &Vault) -> Result<(Target, Credential), Unreached> {
        let secret = vault.get(namespace::TARGET, &self.credential).ok_or(Unreached::NoCredential)?;
        let mut kept: Kept = serde_json::from_slice(secret.expose()).map_err(|_| Unreached::NoCredential)?;
        let bytes = |text: String| Zeroizing::new(text.into_bytes());
        let certificate = kept.client_cert_pem.take().zip(kept.client_key_pem.take());
        let credential = Credential {
            user: std::mem::take(&mut kept.user),
            password: kept.password.take().map(bytes),
            certificate: certificate.map(|(chain, key)| (chain.into_bytes(), bytes(key))),
        };
        let ca_pem =
            self.resource.ca_file.as_ref().map(std::fs::read).transpose().map_err(Unreached::CaFile)?;
        let target = Target {
            address: self.resource.address.clone(),
            database: self.resource.database.clone(),
            tls: self.resource.tls,
            ca_pem,
        };
        Ok((target, credential))
    }
}
