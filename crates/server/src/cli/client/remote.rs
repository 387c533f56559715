//! Over the network, to the server that `POSTRIDER_URL` names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as Http};
use hyper_util::rt::TokioExecutor;
use url::Url;

use super::{ANSWER_TIMEOUT, Answer};
use crate::cli::exit::Failure;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server somewhere.
pub(super) struct Remote {
    http: Transport,
    /// Without a slash at its end.
    base: String,
}

/// Plain HTTP needs no certificates, so none are read for it.
enum Transport {
    Plain(Http<HttpConnector, Full<Bytes>>),
    Tls(Http<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Remote {
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        let base = base(text)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = Http::builder(TokioExecutor::new());
        if base.starts_with("http://") {
            return Ok(Self { http: Transport::Plain(builder.build(connector)), base });
        }
        connector.enforce_http(false);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = HttpsConnectorBuilder::new().with_provider_and_platform_verifier(provider).map_err(|error| {
            Failure::no(format!("no usable root certificates, install ca-certificates or set SSL_CERT_FILE: {error}"))
        })?;
        let connector = tls.https_only().enable_http1().wrap_connector(connector);
        Ok(Self { http: Transport::Tls(builder.build(connector)), base })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends one request, whose target is a path.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Answer, Failure> {
        let lost = |why: String| Failure::unreachable(format!("the server at {} cannot be reached: {why}", self.base));
        let mut request = request.map(Full::new);
        let target = format!("{}{}", self.base, request.uri());
        *request.uri_mut() = target.parse().map_err(|_| Failure::usage(format!("{target} is no URL")))?;
        let exchange = async {
            let answer = match &self.http {
                Transport::Plain(http) => http.request(request).await,
                Transport::Tls(http) => http.request(request).await,
            };
            let answer = answer.map_err(|error| lost(reason(&error)))?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| lost(error.to_string()))?.to_bytes();
            Ok(Answer { status, body })
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(result) => result,
            Err(_) => Err(lost(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        }
    }
}

/// The URL without what callers often leave at its end.
fn base(text: &str) -> Result<String, Failure> {
    let wrong =
        |what: &str| Failure::usage(format!("POSTRIDER_URL (--url) {what}, like https://postrider.example.com"));
    let url = Url::parse(text).map_err(|_| wrong("must be a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("must begin with http:// or https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user name or password: the key goes to POSTRIDER_KEY"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must be the address of a server alone"));
    }
    let bare = url.as_str().trim_end_matches('/');
    Ok(bare.strip_suffix("/v1").unwrap_or(bare).to_owned())
}

/// The innermost cause says it best; the outer ones say that a client had an error.
fn reason(error: &legacy::Error) -> String {
    let error: &dyn std::error::Error = error;
    let innermost = std::iter::successors(Some(error), |error| error.source()).last();
    innermost.map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_as_people_write_them() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"),
            ("https://example.com/postrider/", "https://example.com/postrider"),
        ] {
            assert_eq!(base(text).unwrap(), expected);
        }
        for text in ["127.0.0.1:8080", "ftp://example.com", "https://user:x@example.com", "https://example.com/?a", "x"]
        {
            assert_eq!(base(text).unwrap_err().exit(), crate::cli::exit::Exit::Usage, "{text}");
        }
    }
}
