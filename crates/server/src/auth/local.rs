//! Callers on this machine: whoever may open the data directory acts with platform rights, without a key.
//!
//! The Unix socket in the data directory and commands in this process get a [`LocalRouter`], everybody else the bare
//! one. What marks a request as local is a type of this file that goes with the request inside the process: nothing
//! that is sent over a wire can be or become it.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use http::request::Parts;
use tower_service::Service;

use crate::http::body::BodyLimits;
use crate::http::client::Client;

/// Goes with a request that came by a [`LocalRouter`].
#[derive(Clone, Copy, Debug)]
struct Local;

/// The faces, for callers on this machine.
#[derive(Clone, Debug)]
pub(crate) struct LocalRouter {
    router: Router,
    body_limits: BodyLimits,
}

impl LocalRouter {
    /// Only for what nobody but the owner of the data directory can reach.
    pub(crate) fn new(router: Router, body_limits: BodyLimits) -> Self {
        Self { router, body_limits }
    }
}

impl Service<Request<Body>> for LocalRouter {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Router as Service<Request<Body>>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let client = Client::on_this_machine(request.headers());
        let marks = request.extensions_mut();
        marks.insert(Local);
        marks.insert(client);
        marks.insert(self.body_limits);
        self.router.call(request)
    }
}

/// Whether a request came by a [`LocalRouter`].
pub(super) fn is_local(request: &Parts) -> bool {
    request.extensions.get::<Local>().is_some()
}
