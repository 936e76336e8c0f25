//! A client of the HTTP API, one person's.

use std::time::Duration;

use daypass_api::error::ErrorBody;
use reqwest::{Client, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The API as one person sees it.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    base: String,
    token: Option<String>,
}

/// An answer that is not 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// The words.
    pub message: String,
}

impl Api {
    pub(crate) fn new(base: &str, ca_pem: &[u8]) -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let authority = reqwest::Certificate::from_pem(ca_pem).unwrap();
        let client =
            Client::builder().tls_certs_only([authority]).timeout(Duration::from_secs(90)).build().unwrap();
        Self { client, base: base.to_owned(), token: None }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Gets.
    ///
    /// # Errors
    /// What the API refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Posts.
    ///
    /// # Errors
    /// What the API refuses.
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Refusal> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Puts.
    ///
    /// # Errors
    /// What the API refuses.
    pub async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Refusal> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Whether the API answers at all.
    pub async fn answers(&self) -> bool {
        self.client.get(format!("{}/v1/health", self.base)).send().await.is_ok()
    }

    async fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, Refusal> {
        let mut request = self.client.request(method, format!("{}/v1/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap_or_else(|e| panic!("{path}: {e:?}"));
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap_or_else(|e| panic!("{path}: {e:?}"));
        if status.is_success() {
            let whole = if status == StatusCode::NO_CONTENT { b"{}".as_slice() } else { &bytes };
            return Ok(serde_json::from_slice(whole)
                .unwrap_or_else(|e| panic!("{path}: {e} in {}", String::from_utf8_lossy(whole))));
        }
        let error = serde_json::from_slice::<ErrorBody>(&bytes)
            .unwrap_or_else(|e| panic!("{path}: {status}, {e} in {}", String::from_utf8_lossy(&bytes)))
            .error;
        Err(Refusal { status: status.as_u16(), code: error.code, message: error.message })
    }
}
