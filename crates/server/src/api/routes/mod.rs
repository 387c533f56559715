//! Every route of the native API, declared once: its path, its handler, and what the document says of it.
//!
//! One file for each part of the API. A route cannot be made without its [`Operation`], so none is missing in the
//! document.

mod channels;
mod deliveries;
mod events;
mod health;
mod inbox;
mod tenants;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use serde_json::Value;

use super::App;
use super::openapi::Declared;
use super::openapi::operation::Operation;

/// The routes so far, and what was declared of them.
pub(super) struct Routes {
    router: Router<App>,
    declared: Declared,
}

macro_rules! methods {
    ($($method:ident),+) => {$(
        fn $method<H: Handler<T, App>, T: 'static>(self, path: &str, handler: H, operation: Operation) -> Self {
            self.add(stringify!($method), path, $method(handler), operation)
        }
    )+};
}

impl Routes {
    methods!(get, post, put, patch, delete);

    fn add(mut self, method: &str, path: &str, route: MethodRouter<App>, operation: Operation) -> Self {
        self.router = self.router.route(path, route);
        self.declared.add(method, path, operation);
        self
    }

    /// A route that another part of the server answers.
    fn elsewhere(mut self, method: &str, path: &str, operation: Operation) -> Self {
        self.declared.add(method, path, operation);
        self
    }
}

/// The router, and the document without its `servers`.
pub(super) fn declared() -> (Router<App>, Value) {
    let routes = Routes { router: Router::new(), declared: Declared::default() };
    let parts =
        [health::declare, events::declare, channels::declare, deliveries::declare, inbox::declare, tenants::declare];
    let Routes { router, declared } = parts.into_iter().fold(routes, |routes, declare| declare(routes));
    (router, declared.document())
}
