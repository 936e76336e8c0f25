//! The API client: JSON over TLS, trusting the authority stored at login, with the login's bearer token.

use std::error::Error as _;
use std::time::Duration;

use daypass_api::hidden::Hidden;
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::home::{Home, Login};
use crate::trouble::{Refusal, Trouble};
use crate::{trust, when};

/// An answer of the API is read into memory; more than this is not one (evidence is streamed apart).
const ANSWER_LEN_MAX: usize = 64 << 20;

/// Talks to one control plane.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<Hidden>,
    person: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.url).field("person", &self.person).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for somebody who has not logged in yet, trusting `authority` (PEM).
    pub(crate) fn new(url: &str, authority: &[u8]) -> Result<Self, Trouble> {
        let http = builder().tls_backend_preconfigured(trust::client_config(authority)?).build();
        let http =
            http.map_err(|error| Trouble::BadAnswer { url: url.to_owned(), source: error.to_string() })?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), token: None, person: None })
    }

    /// A client of the stored login.
    pub(crate) fn logged_in(home: &Home, server: Option<&str>) -> Result<Self, Trouble> {
        let login: Login = home.login()?.ok_or(Trouble::NotLoggedIn)?;
        if login.ends <= when::now() {
            return Err(Trouble::LoginEnded);
        }
        if server.is_some_and(|server| normalise(server) != login.url) {
            return Err(Trouble::NotLoggedIn);
        }
        let authority = home.authority(&login.url)?.ok_or(Trouble::NotLoggedIn)?;
        let mut client = Self::new(&login.url, &authority)?;
        client.token = Some(login.token);
        client.person = Some(login.person);
        Ok(client)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Who is logged in.
    pub(crate) fn person(&self) -> &str {
        self.person.as_deref().unwrap_or_default()
    }

    pub(crate) async fn fetch<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.json(self.request(Method::GET, path)).await
    }

    /// GET with a query; the answer may take as long as `wait` for long polls.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &(impl Serialize + ?Sized),
        wait: Duration,
    ) -> Result<T, Trouble> {
        let request =
            self.request(Method::GET, path).query(query).timeout(wait.saturating_add(ANSWER_WITHIN));
        self.json(request).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Trouble> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Trouble> {
        self.json(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.json(self.request(Method::DELETE, path)).await
    }

    /// GET of bytes; `None` when there is nothing at that path.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let response = self.send(self.request(Method::GET, path).timeout(DOWNLOAD_WITHIN)).await?;
        if response.status().as_u16() == 404 {
            return Ok(None);
        }
        let response = self.checked(response).await?;
        response.bytes().await.map(|bytes| Some(bytes.to_vec())).map_err(|error| self.trouble(&error))
    }

    /// Follows server-sent events; `seen` gets the data of each, until it fails or the server ends the stream.
    pub(crate) async fn events(
        &self,
        path: &str,
        mut seen: impl FnMut(&str, &str) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let response = self.send(self.request(Method::GET, path).timeout(STREAM_WITHIN)).await?;
        let mut response = self.checked(response).await?;
        let mut pending = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.trouble(&error))? {
            pending.extend_from_slice(&chunk);
            if pending.len() > ANSWER_LEN_MAX {
                return Err(self.bad_answer("an event is too long"));
            }
            while let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = pending.drain(..end + 2).collect();
                let event = String::from_utf8_lossy(&event);
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                let data = field("data: ");
                if !data.is_empty() {
                    seen(field("event: "), data)?;
                }
            }
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Trouble> {
        let response = self.send(request).await?;
        let response = self.checked(response).await?;
        let body = response.bytes().await.map_err(|error| self.trouble(&error))?;
        if body.len() > ANSWER_LEN_MAX {
            return Err(self.bad_answer("it is too long"));
        }
        let body = if body.is_empty() { b"null".as_slice() } else { &body };
        serde_json::from_slice(body).map_err(|error| self.bad_answer(&error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Trouble> {
        request.send().await.map_err(|error| self.trouble(&error))
    }

    /// The response when it is a success, else the refusal it carries.
    async fn checked(&self, response: Response) -> Result<Response, Trouble> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(Trouble::Api(refusal(status.as_u16(), &body)))
    }

    fn trouble(&self, error: &reqwest::Error) -> Trouble {
        let (url, source) = (self.url.clone(), root_cause(error));
        if is_tls(error) { Trouble::Untrusted { url, source } } else { Trouble::Unreachable { url, source } }
    }

    fn bad_answer(&self, why: &str) -> Trouble {
        Trouble::BadAnswer { url: self.url.clone(), source: why.to_owned() }
    }
}

/// How long an ordinary answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a stream of events may last: a working day.
const STREAM_WITHIN: Duration = Duration::from_secs(12 * 3600);
/// How long a download may take.
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(600);

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(ANSWER_WITHIN)
        .no_proxy()
        .user_agent(concat!("daypass/", env!("CARGO_PKG_VERSION")))
}

/// Asks a control plane that we do not trust yet for its authority. The answer must be confirmed by a fingerprint.
pub(crate) async fn offered_authority(url: &str) -> Result<Vec<u8>, Trouble> {
    let unreachable =
        |error: &reqwest::Error| Trouble::Unreachable { url: url.to_owned(), source: root_cause(error) };
    // SECURITY: the one request without verification. It carries no secret, and what it brings is shown for comparison.
    let http =
        builder().tls_danger_accept_invalid_certs(true).build().map_err(|error| unreachable(&error))?;
    let response = http.get(format!("{url}/v1/ca.pem")).send().await.map_err(|error| unreachable(&error))?;
    if !response.status().is_success() {
        return Err(Trouble::BadAnswer {
            url: url.to_owned(),
            source: format!("status {}", response.status()),
        });
    }
    response.bytes().await.map(|bytes| bytes.to_vec()).map_err(|error| unreachable(&error))
}

/// An address as we store it: with scheme and without a slash at the end.
pub(crate) fn normalise(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    if url.contains("://") { url.to_owned() } else { format!("https://{url}") }
}

/// What one segment of a path needs: everything but letters, digits, `-`, `_` and `.` escaped.
pub(crate) fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn refusal(status: u16, body: &[u8]) -> Refusal {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text =
        |name: &str| value.pointer(&format!("/error/{name}")).and_then(|v| v.as_str()).map(str::to_owned);
    Refusal {
        status,
        code: text("code").unwrap_or_default(),
        message: text("message")
            .unwrap_or_else(|| format!("the control plane answered with status {status}")),
        hint: text("hint").filter(|hint| !hint.is_empty()),
    }
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let words = cause.to_string();
    words.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        // An I/O error hides the error it carries from `source`.
        let carried = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is::<rustls::Error>() || carried.is_some_and(|carried| carried.is::<rustls::Error>()) {
            return true;
        }
        cause = inner.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_words_of_the_server() {
        let body = br#"{"error":{"code":"own-request","message":"you cannot approve your own request","hint":"ask alice"}}"#;
        let refusal = refusal(403, body);
        assert_eq!((refusal.code.as_str(), refusal.hint.as_deref()), ("own-request", Some("ask alice")));
    }

    #[test]
    fn a_refusal_that_is_no_json_still_says_something() {
        assert_eq!(refusal(502, b"<html>").message, "the control plane answered with status 502");
    }

    #[test]
    fn path_segments_cannot_leave_their_place() {
        assert_eq!(segment("R-1"), "R-1");
        assert_eq!(segment("../x?y"), "..%2Fx%3Fy");
        assert_eq!(normalise("host:8440/"), "https://host:8440");
    }
}
