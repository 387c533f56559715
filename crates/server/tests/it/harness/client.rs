//! The client of the native API: one call per thing that tests do often, [`Client::send`] for the rest.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as Http};
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Accepted, Attempt, Channel, Delivery, Event, IssuedKey, Page, Problem, eventually, soon};

/// Asks a server with one key.
#[derive(Clone)]
pub(crate) struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    key: String,
    tenant: Option<String>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, key: &str) -> Self {
        let http = Http::builder(TokioExecutor::new()).build_http();
        Self { http, address, key: key.to_owned(), tenant: None }
    }

    /// Names the tenant, as a platform key must.
    pub(crate) fn for_tenant(mut self, slug: &str) -> Self {
        self.tenant = Some(slug.to_owned());
        self
    }

    /// Sends a request; an error when no whole answer came.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, legacy::Error> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if !self.key.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.key));
        }
        for (name, value) in self.tenant.iter().map(|slug| ("postrider-tenant", slug.as_str())) {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let (head, body) = self.http.request(request).await?.into_parts();
        // An answer that is cut short is left empty: tests of cut connections look at the status of a whole answer.
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let answer = soon(path, self.try_send(method.clone(), path, headers, body)).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[], body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, &[], body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], "").await
    }

    /// Accepts one event.
    pub(crate) async fn accept(&self, event: &Value) -> Accepted {
        self.post("/v1/events", event).await.read(202)
    }

    /// Accepts an event that makes exactly one delivery; its id.
    pub(crate) async fn accept_one(&self, event_type: &str, data: Value) -> i64 {
        let accepted = self.accept(&json!({"type": event_type, "data": data})).await;
        assert_eq!(accepted.deliveries.len(), 1, "{accepted:?}");
        accepted.deliveries[0].id
    }

    pub(crate) async fn event(&self, id: &str) -> Event {
        self.get(&format!("/v1/events/{id}")).await.read(200)
    }

    /// Makes a channel.
    pub(crate) async fn create_channel(&self, channel: &Value) -> Channel {
        self.post("/v1/channels", channel).await.read(201)
    }

    /// Makes a webhook channel to `url` that hears everything, with these fields more.
    pub(crate) async fn webhook(&self, url: &str, more: Value) -> Channel {
        let mut channel = json!({"name": "Test", "provider": "webhook", "config": {"url": url}});
        merge(&mut channel, more);
        self.create_channel(&channel).await
    }

    pub(crate) async fn channel(&self, id: i64) -> Channel {
        self.get(&format!("/v1/channels/{id}")).await.read(200)
    }

    pub(crate) async fn patch_channel(&self, id: i64, patch: &Value) -> Channel {
        self.patch(&format!("/v1/channels/{id}"), patch).await.read(200)
    }

    pub(crate) async fn delivery(&self, id: i64) -> Delivery {
        self.get(&format!("/v1/deliveries/{id}")).await.read(200)
    }

    /// The delivery, once it has this status.
    pub(crate) async fn delivery_once(&self, id: i64, status: &str) -> Delivery {
        eventually(&format!("delivery {id} is {status}"), async || {
            Some(self.delivery(id).await).filter(|delivery| delivery.status == status)
        })
        .await
    }

    /// The deliveries that a query lists, newest first.
    pub(crate) async fn deliveries(&self, query: &str) -> Vec<Delivery> {
        self.get(&format!("/v1/deliveries?{query}")).await.read::<Page<Delivery>>(200).data
    }

    /// The attempts of a delivery, oldest first.
    pub(crate) async fn attempts(&self, delivery: i64) -> Vec<Attempt> {
        let page: Page<Attempt> = self.get(&format!("/v1/attempts?delivery_id={delivery}&limit=200")).await.read(200);
        page.data.into_iter().rev().collect()
    }

    /// Makes a key of a tenant. Only for a platform key.
    pub(crate) async fn create_key(&self, slug: &str, scopes: &[&str]) -> IssuedKey {
        let key = json!({"name": "Test", "scopes": scopes});
        self.post(&format!("/v1/tenants/{slug}/keys"), &key).await.read(201)
    }
}

/// Puts the fields of `more` into `into`, objects within objects.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            more.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, more) => *into = more,
    }
}

/// What the server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body, when the status is this one.
    pub(crate) fn read<T: DeserializeOwned>(&self, status: u16) -> T {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The problem, when the status is this one: its form is checked.
    pub(crate) fn problem(&self, status: u16) -> Problem {
        let problem: Problem = self.read(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem.status, status);
        assert!(problem.r#type.starts_with("urn:postrider:"), "{problem:?}");
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{problem:?}");
        problem
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
