//! SMTP steps, carried out: one transaction for one recipient, command by command, so that it is known where one failed.
//!
//! A channel's own server is reached as any other target of a tenant is: resolved and checked on every attempt, and
//! connected to at a checked address. The operator's server is the operator's word and is not checked. `connect` opens
//! and secures connections, `pool` keeps those that may be used again, `dialogue` speaks. Commands and answers are the
//! library's; sockets and TLS are our own, with the roots that HTTPS trusts, so there is one place for either.

mod connect;
mod dialogue;
mod pool;
mod stream;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::secret::MASK;
use providers::step::{FailureKind, Reply, SmtpServer, SmtpStep, Step};
use sha2::{Digest as _, Sha256};

use self::connect::Connector;
use self::dialogue::{Carried, Dialogue};
use self::pool::Pool;
use super::dialer::Dialer;
use super::guard::EgressRules;
use super::resolve::{Resolve, SystemResolver};
use super::tls::{RootsError, Tls, TlsRoots};
use super::{Transport, failed, not_carried};

/// Carries SMTP steps out. Share it: the connections are pooled per instance.
pub struct GuardedSmtp<R: Resolve = SystemResolver> {
    /// For the servers of channels.
    guarded: Connector<R>,
    /// For the operator's.
    trusted: Connector<R>,
    operators: Option<SmtpServer>,
    pool: Pool,
}

impl GuardedSmtp {
    /// With the system's resolver. Reads the system's root certificates, so it is for start-up.
    pub fn new(rules: EgressRules, roots: TlsRoots, operators: Option<SmtpServer>) -> Result<Self, RootsError> {
        Self::with_resolver(rules, roots, operators, SystemResolver)
    }
}

impl<R: Resolve + Clone> GuardedSmtp<R> {
    /// The same with another source of addresses.
    pub fn with_resolver(
        rules: EgressRules,
        roots: TlsRoots,
        operators: Option<SmtpServer>,
        resolver: R,
    ) -> Result<Self, RootsError> {
        let tls = Tls::new(roots)?.for_smtp();
        let guarded = Dialer { rules, resolver: resolver.clone() };
        let trusted = Dialer { rules: EgressRules::everything(), resolver };
        Ok(Self {
            guarded: Connector { dialer: guarded, tls: tls.clone() },
            trusted: Connector { dialer: trusted, tls },
            operators,
            pool: Pool::default(),
        })
    }
}

impl<R: Resolve> GuardedSmtp<R> {
    async fn exchange(&self, step: &SmtpStep) -> Reply {
        let (connector, server) = match (&step.server, &self.operators) {
            (Some(server), _) => (&self.guarded, server),
            (None, Some(server)) => (&self.trusted, server),
            (None, None) => {
                let detail = "there is no mail server: set config.smtp_host or POSTRIDER_SMTP__URL";
                return Reply::Failed(failed(FailureKind::NotConfigured, detail));
            }
        };
        without_password(self.hand_in(connector, server, step).await, server)
    }

    async fn hand_in(&self, connector: &Connector<R>, server: &SmtpServer, step: &SmtpStep) -> Reply {
        let addresses = match connector.dialer.addresses(&server.host, server.port).await {
            Ok(addresses) => addresses,
            Err(failure) => return Reply::Failed(failure),
        };
        // One that has died since it was used last shows it at the first command, when nothing was sent yet.
        while let Some((key, mut dialogue)) = self.pool.take(&addresses, server) {
            match dialogue.carry(step).await {
                Carried::Stale => {}
                Carried::Answered(reply) => return self.done(key, dialogue, reply),
            }
        }
        let (address, mut dialogue) = match connector.open(&addresses, server).await {
            Ok(opened) => opened,
            Err(reply) => return reply.with_message_id(step),
        };
        match dialogue.carry(step).await {
            Carried::Stale => {
                let detail = "the connection was closed after the greeting";
                Reply::Failed(failed(FailureKind::NotWritten, detail))
            }
            Carried::Answered(reply) => self.done(Key::new(address, server), dialogue, reply),
        }
    }

    fn done(&self, key: Key, dialogue: Dialogue, reply: Reply) -> Reply {
        if dialogue.may_go_on() {
            self.pool.put(key, dialogue);
        }
        reply
    }
}

impl<R: Resolve> Transport for GuardedSmtp<R> {
    async fn send(&self, step: Step) -> Reply {
        let Step::Smtp(step) = step else { return not_carried("mail") };
        self.exchange(&step).await
    }
}

/// What the server said, without what it was told: one that echoes its commands would show the operator's password to a
/// tenant, as it is or in the form in which it was sent.
fn without_password(mut reply: Reply, server: &SmtpServer) -> Reply {
    let (Reply::Smtp(said), Some(password)) = (&mut reply, &server.password) else { return reply };
    let (user, password) = (server.user.as_deref().unwrap_or_default(), password.reveal());
    let plain = STANDARD.encode(format!("\0{user}\0{password}"));
    for secret in [plain.as_str(), STANDARD.encode(password).as_str(), password] {
        if !secret.is_empty() && said.text.contains(secret) {
            said.text = said.text.replace(secret, MASK);
        }
    }
    reply
}

/// What a connection may be used for again: the same address, by the same rights, under the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    address: SocketAddr,
    /// Everything else of the server, as a hash: the password is part of it, and a changed one opens anew.
    server: [u8; 32],
}

impl Key {
    fn new(address: SocketAddr, server: &SmtpServer) -> Self {
        let password = server.password.as_ref().map(domain::Secret::reveal);
        let parts = [Some(server.host.as_str()), server.user.as_deref(), password];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        hash.update(format!("{:?}", server.tls));
        Self { address, server: hash.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use domain::Secret;
    use providers::step::{SmtpReply, SmtpStage, SmtpTls};

    use super::*;

    fn server(password: &str) -> SmtpServer {
        SmtpServer {
            host: "mail.test".to_owned(),
            port: 587,
            tls: SmtpTls::StartTls,
            user: Some("user".to_owned()),
            password: Some(Secret::new(password)),
        }
    }

    #[test]
    fn a_server_that_echoes_its_commands_shows_no_password() {
        let check = |text: &str, expected: &str| {
            let (text, message_id) = (text.to_owned(), String::new());
            let said = SmtpReply { stage: SmtpStage::Login, code: 535, enhanced: None, text, message_id };
            let Reply::Smtp(said) = without_password(Reply::Smtp(said), &server("hunter2")) else { panic!("a reply") };
            assert_eq!(said.text, expected);
        };
        check("wrong: hunter2", "wrong: ********");
        check("AUTH PLAIN AHVzZXIAaHVudGVyMg==?", "AUTH PLAIN ********?");
        check("got aHVudGVyMg==", "got ********");
        check("wrong", "wrong");
    }

    #[test]
    fn connections_are_told_apart_by_address_and_rights() {
        let address = SocketAddr::from(([127, 0, 0, 1], 587));
        let key = |server: &SmtpServer| Key::new(address, server);
        assert_eq!(key(&server("a")), key(&server("a")));
        assert_ne!(key(&server("a")), key(&server("b")), "a changed password opens anew");
        assert_ne!(key(&server("a")), key(&SmtpServer { tls: SmtpTls::Implicit, ..server("a") }));
        assert_ne!(key(&server("a")), key(&SmtpServer { host: "other.test".to_owned(), ..server("a") }));
        assert_ne!(key(&server("a")), Key::new(SocketAddr::from(([127, 0, 0, 2], 587)), &server("a")));
    }
}
