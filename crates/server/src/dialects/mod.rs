//! The APIs of other products, each a face of its own under that product's paths.
//!
//! A dialect translates and adds no behaviour: every call ends in an operation of the engine. Each has its own form of
//! errors, for everything under its paths, and none knows another.

pub(crate) mod aether365;
mod thulium;

use std::sync::Arc;

use axum::Router;
use engine::Engine;

use crate::openapi::Declared;
use aether365::Links;

/// The routes of every dialect, and what the document says of them.
pub(crate) fn router(engine: &Arc<Engine>, links: Arc<Links>) -> (Router, Declared) {
    let dialects = [aether365::router(Arc::clone(engine), links), thulium::router(Arc::clone(engine))];
    let nothing = (Router::new(), Declared::default());
    dialects
        .into_iter()
        .fold(nothing, |(router, declared), (more, also_declared)| (router.merge(more), declared.and(also_declared)))
}
