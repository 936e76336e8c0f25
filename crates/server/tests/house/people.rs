//! People who use the API over HTTPS.

use std::time::Duration;

use daypass_access::time::Micros;
use daypass_server::clock;
use daypass_server::login::totp;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody with a client, and perhaps a login.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub(crate) url: String,
    pub(crate) password: String,
    /// The code of the last login.
    pub(crate) last_code: String,
    pub(crate) client: reqwest::Client,
    pub(crate) token: Option<String>,
}

/// An answer that is not 2xx.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Visitor {
    pub(crate) fn new(url: String, ca: &[u8]) -> Self {
        // The second test that installs the provider finds it installed.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let ca = reqwest::Certificate::from_pem(ca).unwrap();
        let client =
            reqwest::Client::builder().tls_certs_only([ca]).timeout(Duration::from_secs(60)).build().unwrap();
        Self { url, password: PASSWORD.to_owned(), last_code: String::new(), client, token: None }
    }

    pub(crate) async fn login(&mut self, person: &str, seed: &str) {
        let now: Micros = clock::now();
        self.last_code = totp::code(&base32(seed), now).unwrap();
        let body = json!({"person": person, "password": PASSWORD, "totp": self.last_code});
        let opened = self.post("/v1/login", body).await;
        self.token = Some(opened["token"].as_str().unwrap().to_owned());
    }

    pub(crate) async fn logout(&mut self) {
        self.post("/v1/logout", json!({})).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.try_post(path, body).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Value {
        self.try_put(path, body).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> Result<Value, Refused> {
        self.send(Method::GET, path, None)
            .await
            .map(|bytes| serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    pub(crate) async fn try_post(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.send(Method::POST, path, Some(body)).await.map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn try_put(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.send(Method::PUT, path, Some(body)).await.map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        self.send(Method::GET, path, None).await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Vec<u8>, Refused> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let bytes = response.bytes().await.unwrap().to_vec();
        if status.is_success() {
            return Ok(bytes);
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| body["error"][name].as_str().map(str::to_owned);
        Err(Refused {
            status: status.as_u16(),
            code: text("code").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            hint: text("hint"),
        })
    }
}

fn base32(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        _ => u32::from(c - b'2') + 26,
    };
    let (mut bits, mut held, mut bytes) = (0, 0_u32, Vec::new());
    for c in text.bytes() {
        held = held << 5 | digit(c);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 255).unwrap());
        }
    }
    bytes
}
