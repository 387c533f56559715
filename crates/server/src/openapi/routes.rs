//! Routes that are declared as they are made.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, any, delete, get, patch, post, put};

use super::{Declared, Operation};

/// The routes so far of one face, whose handlers work with an `S`, and what was declared of them.
pub(crate) struct Routes<S> {
    router: Router<S>,
    declared: Declared,
}

macro_rules! methods {
    ($($method:ident),+) => {$(
        pub(crate) fn $method<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H, operation: Operation) -> Self {
            self.add(stringify!($method), path, $method(handler), operation)
        }
    )+};
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), declared: Declared::default() }
    }

    methods!(get, post, put, patch, delete);

    fn add(mut self, method: &str, path: &str, route: MethodRouter<S>, operation: Operation) -> Self {
        self.router = self.router.route(path, route);
        self.declared.add(method, path, operation);
        self
    }

    /// A part of the API that operations name as their tag.
    pub(crate) fn tag(mut self, name: &str, about: &str) -> Self {
        self.declared.tag(name, about);
        self
    }

    /// Another spelling of a path that the document has; of this one it says nothing.
    pub(crate) fn unlisted(mut self, path: &str, route: MethodRouter<S>) -> Self {
        self.router = self.router.route(path, route);
        self
    }

    /// A route that another part of the server answers.
    pub(crate) fn elsewhere(mut self, method: &str, path: &str, operation: Operation) -> Self {
        self.declared.add(method, path, operation);
        self
    }

    /// What answers a path that no client is meant to call, whatever the method: a dialect's own words for what is not
    /// there. Not in the document.
    pub(crate) fn otherwise<H: Handler<T, S>, T: 'static>(mut self, path: &str, handler: H) -> Self {
        self.router = self.router.route(path, any(handler));
        self
    }

    pub(crate) fn finish(self) -> (Router<S>, Declared) {
        (self.router, self.declared)
    }
}
