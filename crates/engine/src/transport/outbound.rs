//! Every kind of step, each by its own transport.

use providers::step::{Reply, SmtpServer, Step};

use super::{EgressRules, GuardedHttp, GuardedSmtp, RootsError, TlsRoots, Transport, not_carried};

/// Carries steps of any kind out.
pub struct Outbound {
    http: GuardedHttp,
    smtp: GuardedSmtp,
}

impl Outbound {
    /// `smtp` is the operator's mail server. Reads the system's root certificates, so it is for start-up.
    pub fn new(rules: EgressRules, roots: &TlsRoots, smtp: Option<SmtpServer>) -> Result<Self, RootsError> {
        Ok(Self {
            http: GuardedHttp::new(rules.clone(), roots.clone())?,
            smtp: GuardedSmtp::new(rules, roots.clone(), smtp)?,
        })
    }
}

impl Transport for Outbound {
    async fn send(&self, step: Step) -> Reply {
        match step {
            Step::Http(_) => self.http.send(step).await,
            // Boxed, so that what a mail needs to be carried is no part of every request's task.
            Step::Smtp(_) => Box::pin(self.smtp.send(step)).await,
            Step::Inbox(_) => not_carried("what leaves this machine"),
        }
    }
}
