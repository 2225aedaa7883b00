//! A browser, as far as tests want one.

use anyhow::{Context, Result, ensure};

use super::{Namespace, wait::PATIENCE};

/// The answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `Content-Type`, or nothing.
    pub content_type: String,
    /// The value of `Content-Length`.
    pub length: Option<usize>,
    /// The body.
    pub body: String,
}

impl Namespace {
    /// Ask a server for something, from this namespace.
    ///
    /// # Errors
    /// It cannot be reached, or does not speak HTTP.
    pub fn ask(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let agent = config.allow_non_standard_methods(true).build().new_agent();
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(())?;
        self.enter(|| {
            let mut response = agent.run(request).with_context(|| format!("{method} {url}"))?;
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            Ok(Answer {
                status: response.status().as_u16(),
                content_type: header("content-type").unwrap_or_default().to_owned(),
                length: header("content-length").and_then(|length| length.parse().ok()),
                body: response.body_mut().read_to_string()?,
            })
        })
    }

    /// The body of a page that is there.
    ///
    /// # Errors
    /// As [`Namespace::ask`]; or the status is not 200.
    pub fn get(&self, url: &str) -> Result<String> {
        let Answer { status, body, .. } = self.ask("GET", url, &[])?;
        ensure!(status == 200, "{url} answers {status}: {body}");
        Ok(body)
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// As [`Namespace::get`]; or it is not JSON.
    pub fn get_json(&self, url: &str) -> Result<serde_json::Value> {
        let body = self.get(url)?;
        serde_json::from_str(&body).with_context(|| format!("{url} answers {body}"))
    }
}

/// Words as a part of a URL.
#[must_use]
pub fn encoded(words: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    words
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
