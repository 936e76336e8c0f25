//! One way to a database: direct, or through the gateway.

use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How the way is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// By TLS with a certificate that nobody checks; for measuring only.
    Unverified,
    /// By a certificate that this authority signed and that names the host.
    Verified(PathBuf),
}

/// Everything a client needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User, or the resource and role.
    pub user: String,
    /// Password, or the pass.
    pub password: String,
    /// Database.
    pub database: String,
    /// TLS or not.
    pub tls: Tls,
}

impl Endpoint {
    /// The variables that libpq reads.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut set = vec![
            ("PGHOST", self.host.clone()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGPASSWORD", self.password.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGCONNECT_TIMEOUT", "20".to_owned()),
        ];
        match &self.tls {
            Tls::Off => set.push(("PGSSLMODE", "disable".to_owned())),
            Tls::Unverified => set.push(("PGSSLMODE", "require".to_owned())),
            Tls::Verified(ca) => {
                set.push(("PGSSLMODE", "verify-full".to_owned()));
                set.push(("PGSSLROOTCERT", ca.to_string_lossy().into_owned()));
            }
        }
        set.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The same way to another database of the target.
    #[must_use]
    pub fn database(&self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self.clone() }
    }

    /// The settings of tokio-postgres.
    #[must_use]
    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .password(&self.password)
            .dbname(&self.database);
        config.ssl_mode(if self.tls == Tls::Off { SslMode::Disable } else { SslMode::Require });
        config
    }

    /// The TLS of tokio-postgres.
    #[must_use]
    pub fn rustls(&self) -> MakeRustlsConnect {
        let mut roots = rustls::RootCertStore::empty();
        if let Tls::Verified(ca) = &self.tls {
            for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
                roots.add(certificate.unwrap()).unwrap();
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        MakeRustlsConnect::new(config)
    }

    /// Connects with tokio-postgres; the connection runs in a task of its own.
    ///
    /// # Errors
    /// Whatever the server or the way to it says.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = self.config().connect(self.rustls()).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }
}
