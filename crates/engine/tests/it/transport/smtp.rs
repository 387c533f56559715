//! Mail servers by script: where a transaction fails, which connections are used again, what is never said in the clear.

use engine::transport::{GuardedSmtp, TlsRoots, Transport};
use providers::step::{FailureKind, Reply, SmtpReply, SmtpServer, SmtpStage, SmtpStep, SmtpTls, Step};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{EgressRules, Names, SECRET, Server, loopback_allowed};

/// A server's answer to the commands that begin with a word, in place of the usual one.
type Answer = (&'static str, &'static str);

/// Says what servers usually say, except for `odd`. Closes after this many mails.
async fn speak(stream: TcpStream, odd: &[Answer], mails: usize) -> Option<()> {
    let answer = |word: &'static str, usual: &'static str| {
        odd.iter().find(|(odd, _)| *odd == word).map_or(usual, |(_, answer)| answer)
    };
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(answer("greeting", "220 hello\r\n").as_bytes()).await.ok()?;
    let mut taken = 0;
    while taken < mails {
        let line = lines.next_line().await.ok()??;
        let said = match line.split_whitespace().next()? {
            "EHLO" => answer("EHLO", "250-mail.test\r\n250 8BITMIME\r\n"),
            "STARTTLS" => answer("STARTTLS", "220 go on\r\n"),
            "MAIL" => answer("MAIL", "250 2.1.0 OK\r\n"),
            "RCPT" => answer("RCPT", "250 2.1.5 OK\r\n"),
            "DATA" => answer("DATA", "354 go on\r\n"),
            "RSET" => "250 OK\r\n",
            _ => "500 5.5.1 what\r\n",
        };
        writer.write_all(said.as_bytes()).await.ok()?;
        if line == "DATA" && said.starts_with('3') {
            while lines.next_line().await.ok()?? != "." {}
            taken += 1;
            writer.write_all(answer(".", "250 2.0.0 queued as 1\r\n").as_bytes()).await.ok()?;
        }
    }
    Some(())
}

async fn server(odd: &'static [Answer], mails: usize) -> Server {
    // Either side may go first.
    Server::start(move |stream| async move { speak(stream, odd, mails).await.unwrap_or_default() }).await
}

fn transport(rules: EgressRules) -> GuardedSmtp<Names> {
    GuardedSmtp::with_resolver(rules, TlsRoots::system(), None, Names::default()).unwrap()
}

fn at(server: &Server, tls: SmtpTls) -> SmtpServer {
    SmtpServer { host: "127.0.0.1".to_owned(), port: server.port(), tls, user: None, password: None }
}

async fn send(transport: &GuardedSmtp<Names>, server: Option<SmtpServer>) -> Reply {
    let step = SmtpStep {
        server,
        from: "a@x.test".to_owned(),
        to: "b@x.test".to_owned(),
        message_id: "<1@x.test>".to_owned(),
        message: "Subject: x\r\n\r\n.hidden\r\n".into(),
    };
    transport.send(Step::Smtp(step)).await
}

async fn said(odd: &'static [Answer]) -> SmtpReply {
    let server = server(odd, 1).await;
    match send(&transport(loopback_allowed()), Some(at(&server, SmtpTls::None))).await {
        Reply::Smtp(reply) => reply,
        other => panic!("{other:?}"),
    }
}

async fn failure(odd: &'static [Answer], tls: SmtpTls) -> FailureKind {
    let server = server(odd, 1).await;
    match send(&transport(loopback_allowed()), Some(at(&server, tls))).await {
        Reply::Failed(failure) => failure.kind,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_tell_their_stage() {
    let check = async |odd, stage, code, enhanced, text: &str| {
        let message_id = "<1@x.test>".to_owned();
        assert_eq!(said(odd).await, SmtpReply { stage, code, enhanced, text: text.to_owned(), message_id });
    };
    check(&[], SmtpStage::Message, 250, Some((2, 0, 0)), "queued as 1").await;
    check(&[("greeting", "554 go away\r\n")], SmtpStage::Connect, 554, None, "go away").await;
    check(&[("greeting", "421-busy\r\n421 later\r\n")], SmtpStage::Connect, 421, None, "busy later").await;
    check(&[("EHLO", "550 5.7.1 no\r\n")], SmtpStage::Hello, 550, Some((5, 7, 1)), "no").await;
    check(&[("MAIL", "451 4.3.0 later\r\n")], SmtpStage::Sender, 451, Some((4, 3, 0)), "later").await;
    check(&[("RCPT", "550-5.1.1 no\r\n550 5.1.1 one\r\n")], SmtpStage::Recipient, 550, Some((5, 1, 1)), "no one").await;
    check(&[("DATA", "452 full\r\n")], SmtpStage::Data, 452, None, "full").await;
    check(&[(".", "554 5.6.0 odd\r\n")], SmtpStage::Message, 554, Some((5, 6, 0)), "odd").await;
}

#[tokio::test]
async fn failures_say_how_far_the_mail_got() {
    assert_eq!(failure(&[("greeting", "SSH-2.0\r\n")], SmtpTls::None).await, FailureKind::Garbled);
    assert_eq!(failure(&[(".", "")], SmtpTls::None).await, FailureKind::NoAnswer);
    assert_eq!(failure(&[], SmtpTls::StartTls).await, FailureKind::Unsupported);
    assert_eq!(failure(&[], SmtpTls::Implicit).await, FailureKind::Tls);
    let injected = &[("EHLO", "250 STARTTLS\r\n"), ("STARTTLS", "220 go on\r\n250 injected\r\n")];
    assert_eq!(failure(injected, SmtpTls::StartTls).await, FailureKind::Garbled);
}

#[tokio::test]
async fn connections_are_used_again_and_a_dead_one_is_replaced() {
    let check = async |odd, mails, connections| {
        let server = server(odd, mails).await;
        let transport = transport(loopback_allowed());
        for _ in 0..3 {
            let reply = send(&transport, Some(at(&server, SmtpTls::None))).await;
            assert!(matches!(reply, Reply::Smtp(_)), "{reply:?}");
        }
        assert_eq!(server.connections(), connections);
    };
    check(&[], 9, 1).await;
    check(&[], 1, 3).await;
    check(&[("RCPT", "550 5.1.1 no\r\n")], 9, 1).await;
    check(&[("RCPT", "421 4.3.2 bye\r\n")], 9, 3).await;
}

#[tokio::test]
async fn targets_and_passwords_are_guarded() {
    let server = server(&[], 9).await;
    let kind = async |rules, to: Option<SmtpServer>| match send(&transport(rules), to).await {
        Reply::Failed(failure) => {
            assert!(!failure.detail.contains(SECRET), "{failure:?}");
            failure.kind
        }
        other => panic!("{other:?}"),
    };
    let open = at(&server, SmtpTls::None);
    assert_eq!(kind(EgressRules::default(), Some(open.clone())).await, FailureKind::Forbidden);
    let password = Some(domain::Secret::new(SECRET));
    let told = SmtpServer { user: Some("u".to_owned()), password, ..open };
    assert_eq!(kind(loopback_allowed(), Some(told)).await, FailureKind::Forbidden);
    assert_eq!(server.connections(), 0);
    assert_eq!(kind(loopback_allowed(), None).await, FailureKind::NotConfigured);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let (closed, mut is_closed) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |stream| {
        let closed = closed.clone();
        async move {
            speak(stream, &[], 9).await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let transport = transport(loopback_allowed());
    send(&transport, Some(at(&server, SmtpTls::None))).await;
    assert!(is_closed.try_recv().is_err(), "it is kept for the next mail");
    tokio::time::pause();
    is_closed.recv().await.unwrap();
}
