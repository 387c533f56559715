//! Postrider without a port: what a command starts when no server has the data directory.
//!
//! The same parts, the same routes, the same checks; requests go to the router as calls. The first run's work is left to
//! the server: nothing is made, and the built-in receiver does not listen. Its address stays allowed, so a delivery to it
//! fails and is tried again, and its channel is not paused as one whose target is forbidden.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use engine::dispatch::run::Handle;
use http::Request;
use tokio::task::JoinSet;
use tower_service::Service as _;

use super::{Assembled, Parts, start_dispatch};
use crate::auth::LocalRouter;
use crate::config::Config;
use crate::first_run;
use crate::telemetry::Telemetry;

/// What is delivered while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starts {
    /// Whatever is due.
    Deliveries,
    /// Nothing: whoever only looks must not make anything happen.
    Nothing,
}

/// A Postrider that only this process can ask.
pub(crate) struct InProcess {
    router: LocalRouter,
    dispatch: Handle,
    /// The dispatcher.
    tasks: JoinSet<()>,
    stop_patience: Duration,
}

impl InProcess {
    /// Takes the data directory and starts.
    pub(crate) async fn start(config: &Config, starts: Starts) -> anyhow::Result<Self> {
        let parts = Parts::open(config).await?;
        let receiver = first_run::built_in_address(&parts.snapshot);
        let telemetry = Telemetry { metrics: Arc::clone(&parts.metrics), traces: None };
        let Assembled { engine, shell, inbox } = parts.assemble(config, receiver, Arc::new(telemetry))?;
        let dispatch = shell.handle.clone();
        let mut tasks = JoinSet::new();
        start_dispatch(&mut tasks, shell, inbox, config, starts).await?;
        let router = LocalRouter::new(crate::api::router(engine).0, config.limits.into());
        Ok(Self { router, dispatch, tasks, stop_patience: config.stop_patience })
    }

    /// Answers a request.
    pub(crate) async fn call(&self, request: Request<Body>) -> Response {
        let answer: Result<Response, Infallible> = self.router.clone().call(request).await;
        answer.unwrap_or_else(|never| match never {})
    }

    /// How long a stop waits for what is under way.
    pub(crate) fn stop_patience(&self) -> Duration {
        self.stop_patience
    }

    /// Finishes what is under way and writes it down. Returns whether all of it was; the rest is sent again at the next
    /// start.
    pub(crate) async fn stop(mut self) -> bool {
        let is_settled = self.dispatch.stop(self.stop_patience).await;
        if is_settled {
            while self.tasks.join_next().await.is_some() {}
        }
        is_settled
    }
}
