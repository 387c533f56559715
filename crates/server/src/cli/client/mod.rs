//! The client of the command line: the requests of the native API, by one of three ways.
//!
//! A server that is named ([`remote`]), the server that runs on this data directory ([`socket`]), or, when none runs, the
//! same routes in this process ([`in_process`]). Commands do not know which it is: they send a request and get an answer.

mod in_process;
mod list;
pub(in crate::cli) mod problem;
mod remote;
mod socket;
mod target;
pub(in crate::cli) mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use domain::{Clock as _, Secret, Timestamp};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use serde::Serialize;

use super::exit::{Ended, Failure};
use super::output::remark;
use super::{StopSignal, runtime};
use crate::app::{InProcess, Starts};
use crate::auth::TENANT_HEADER;
use crate::clock::SystemClock;
use crate::first_run::DEFAULT_TENANT;
pub(in crate::cli) use list::{Listing, Part, unreadable};
use problem::Problem;
use remote::Remote;
pub(in crate::cli) use target::Target;

/// How long an answer may take. The slowest one, of a test of a channel, takes 20 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Asks a server.
pub(in crate::cli) struct Client {
    way: Way,
    key: Option<Secret>,
    tenant: Option<String>,
    clock: SystemClock,
}

enum Way {
    Remote(Remote),
    Socket(PathBuf),
    InProcess(Box<InProcess>),
}

/// What was answered, when it was not a refusal.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    pub(in crate::cli) status: StatusCode,
    pub(in crate::cli) body: Bytes,
}

/// Runs a command with a client. A Ctrl-C ends it, and what is under way in this process is finished; a second one ends
/// that, too.
pub(in crate::cli) fn run(
    target: &Target,
    starts: Starts,
    command: impl AsyncFnOnce(&Client) -> Ended,
) -> anyhow::Result<ExitCode> {
    runtime::run(async {
        let stop = StopSignal::listen()?;
        let client = Client::connect(target, starts).await?;
        let ended = tokio::select! {
            ended = command(&client) => Some(ended),
            () = stop.received() => None,
        };
        let again = StopSignal::listen()?;
        if ended.is_none() {
            client.tell_what_is_left();
        }
        tokio::select! {
            () = client.close() => {}
            () = again.received() => {}
        }
        ended.unwrap_or_else(|| Err(Failure::no("interrupted")))
    })
}

impl Client {
    /// Finds the way.
    pub(in crate::cli) async fn connect(target: &Target, starts: Starts) -> Result<Self, Failure> {
        let way = target.way(starts).await?;
        if target.is_verbose {
            remark(&way.words(starts));
        }
        Ok(Self { way, key: target.key(), tenant: target.tenant(), clock: SystemClock::new() })
    }

    /// How long this process waits for its own deliveries before it ends; `None` when a server does them.
    pub(in crate::cli) fn own_patience(&self) -> Option<Duration> {
        match &self.way {
            Way::InProcess(here) => Some(here.stop_patience()),
            Way::Remote(_) | Way::Socket(_) => None,
        }
    }

    /// Says why an interrupted command does not end at once.
    fn tell_what_is_left(&self) {
        if let Some(patience) = self.own_patience() {
            let seconds = patience.as_secs();
            remark(&format!("Finishing what is under way, for at most {seconds} s. Ctrl-C again ends it at once."));
        }
    }

    /// Ends what runs in this process.
    pub(in crate::cli) async fn close(self) {
        if let Way::InProcess(here) = self.way
            && !here.stop().await
        {
            remark("Stopped before everything under way was answered; it is sent again when a server runs.");
        }
    }

    pub(in crate::cli) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time of a clock that never goes back.
    pub(in crate::cli) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The tenant in paths of the platform.
    pub(in crate::cli) fn tenant_slug(&self) -> &str {
        self.tenant.as_deref().unwrap_or(DEFAULT_TENANT)
    }

    pub(in crate::cli) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub(in crate::cli) async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::DELETE, path, &[], Bytes::new()).await
    }

    pub(in crate::cli) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        self.send(Method::POST, path, &[], json(body)?).await
    }

    /// A POST that says everything by its path.
    pub(in crate::cli) async fn ask_for(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::POST, path, &[], Bytes::new()).await
    }

    pub(in crate::cli) async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        self.send(Method::PATCH, path, &[], json(body)?).await
    }

    pub(in crate::cli) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        self.send(Method::PUT, path, &[], json(body)?).await
    }

    /// Sends a request with headers more. An answer that is no success is a [`Failure::Refused`].
    pub(in crate::cli) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {}", key.reveal()));
        }
        if let Some(tenant) = &self.tenant {
            request = request.header(TENANT_HEADER, tenant);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let unfit = |_| Failure::usage("the key, the tenant or the id has characters that HTTP cannot carry");
        let answer = match &self.way {
            Way::Remote(remote) => remote.send(request.body(body).map_err(unfit)?).await?,
            Way::Socket(socket) => {
                let request = request.header(HOST, "localhost").body(body).map_err(unfit)?;
                socket::send(socket, request).await?
            }
            Way::InProcess(here) => in_process::send(here, request.body(body).map_err(unfit)?).await?,
        };
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(Failure::Refused(Problem::read(answer.status, &answer.body)))
    }
}

/// Whether the server at an address says that it is ready; else why not.
pub(in crate::cli) async fn is_ready(address: &str) -> Result<(), String> {
    let ask = async {
        let request = Request::get("/readyz").body(Bytes::new()).map_err(|error| Failure::no(error.to_string()))?;
        Remote::new(address)?.send(request).await
    };
    match ask.await {
        Ok(answer) if answer.status.is_success() => Ok(()),
        Ok(answer) => Err(format!("it answers {}", answer.status)),
        Err(failure) => Err(failure.message().unwrap_or_default()),
    }
}

impl Way {
    /// What a person wants to know who asks which way was taken.
    fn words(&self, starts: Starts) -> String {
        match self {
            Self::Remote(remote) => format!("Asking the server at {}", remote.base()),
            Self::Socket(path) => format!("Asking the server on this machine at {}", path.display()),
            Self::InProcess(_) if starts == Starts::Deliveries => {
                "No server runs: working in this process, and delivering what is due meanwhile".to_owned()
            }
            Self::InProcess(_) => "No server runs: working in this process, and delivering nothing".to_owned(),
        }
    }
}

fn json(body: &impl Serialize) -> Result<Bytes, Failure> {
    let written = serde_json::to_vec(body);
    written.map(Bytes::from).map_err(|error| Failure::usage(format!("the request cannot be written as JSON: {error}")))
}

/// A path of these parts, with what a URL does not take encoded.
pub(in crate::cli) fn path(parts: &[&str]) -> String {
    let mut url = url::Url::parse("http://localhost/").expect("a URL");
    // An http URL has path segments.
    url.path_segments_mut().expect("a base").clear().extend(parts);
    url.path().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_stays_one_part_of_the_path() {
        assert_eq!(path(&["v1", "events", "evt_1"]), "/v1/events/evt_1");
        assert_eq!(path(&["v1", "tenants", "a/b?c#d e"]), "/v1/tenants/a%2Fb%3Fc%23d%20e");
    }
}
