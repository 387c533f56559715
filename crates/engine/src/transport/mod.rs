//! The way out: the only place of the program that opens connections for tenants.
//!
//! Start at [`Transport`], the seam that dispatch sees and the simulator replaces; [`Outbound`] is all of it together.
//! [`GuardedHttp`] carries HTTP steps out behind three walls: the URL's host is checked before anything else, every
//! resolved address is checked and the connection goes to a checked one, and redirects are never followed.
//! [`GuardedSmtp`] hands mail in, past the same check of addresses. The rules themselves are pure: [`EgressRules`].
//!
//! Nothing here retries for the sake of the message, reads settings or judges an answer; proxies from the environment are
//! not looked at, because they would move the connection past the walls.

mod body;
mod connector;
mod destination;
mod dialer;
mod guard;
mod http;
mod outbound;
mod pool;
mod resolve;
mod smtp;
mod tls;

use std::sync::Arc;

use providers::step::{Failure, FailureKind, Reply, Step};

pub use guard::{EgressRules, Refusal};
pub use http::GuardedHttp;
pub use outbound::Outbound;
pub use resolve::{Resolve, SystemResolver};
pub use smtp::GuardedSmtp;
pub use tls::{RootsError, TlsRoots};

/// Carries steps out. It always answers, at the latest when the step's timeout has passed.
pub trait Transport: Send + Sync + 'static {
    fn send(&self, step: Step) -> impl Future<Output = Reply> + Send;
}

impl<T: Transport> Transport for Arc<T> {
    fn send(&self, step: Step) -> impl Future<Output = Reply> + Send {
        T::send(self, step)
    }
}

/// What a transport for one protocol says to a step of another: a fault in how the program was put together.
fn not_carried(what: &str) -> Reply {
    Reply::Failed(failed(FailureKind::Forbidden, format!("this transport carries {what} only")))
}

/// The caller keeps URL, headers and body out of `detail`.
fn failed(kind: FailureKind, detail: impl Into<String>) -> Failure {
    Failure { kind, detail: detail.into() }
}
