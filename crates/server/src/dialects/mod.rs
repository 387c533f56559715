//! The APIs of other products, each a face of its own under that product's paths.
//!
//! A dialect translates and adds no behaviour: every call ends in an operation of the engine. Each has its own form of
//! errors, for everything under its paths, and none knows another.

pub(crate) mod aether365;
mod altum;
mod lenz;
mod thulium;

use std::sync::Arc;

use axum::Router;
use engine::Engine;

use crate::config::Config;
use crate::openapi::Declared;
use aether365::Links;

/// What a dialect is to the server: its routes, and what the document says of them.
type Dialect = fn(Arc<Engine>, &Config) -> (Router, Declared);

/// The routes of every dialect, and what the document says of them. `links` are those in mails, which one of them answers.
pub(crate) fn router(engine: &Arc<Engine>, config: &Config, links: Arc<Links>) -> (Router, Declared) {
    let dialects: [Dialect; 3] = [altum::router, lenz::router, thulium::router];
    let first = aether365::router(Arc::clone(engine), links);
    dialects.into_iter().fold(first, |(router, declared), dialect| {
        let (more, also_declared) = dialect(Arc::clone(engine), config);
        (router.merge(more), declared.and(also_declared))
    })
}
