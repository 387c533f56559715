//! The receiver on a real socket: what a sender is answered and what the sink gets.

use super::notification::Signature;
use super::*;
use domain::Timestamp;
use providers::sign::SigningKey;
use std::io::{Read, Write};
use std::sync::mpsc;
use tokio::sync::oneshot;

/// The moment of the sample of the Standard Webhooks specification.
struct SampleClock;

impl Clock for SampleClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_614_265_332_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNED: &str = "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nwebhook-timestamp: 1614265330\r\n\
                      webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n";

/// Sends `request` to a receiver that answers `status`, and returns the status line and what the sink got.
async fn exchange(status: u16, secrets: &[&str], request: String) -> (String, Vec<Notification>) {
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into(), Arc::new(SampleClock)).await.unwrap();
    let receiver = receiver.answering(StatusCode::from_u16(status).unwrap());
    receiver.keys().set(secrets.iter().map(|secret| SigningKey::parse(secret).unwrap()).collect());
    let address = receiver.local_addr().unwrap();
    let (answered, answer) = oneshot::channel();
    let sender = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answered.send(answer.lines().next().unwrap_or_default().to_owned()).unwrap();
    });
    let (queue, arrivals) = mpsc::channel();
    let mut line = String::new();
    let until = async { line = answer.await.unwrap() };
    receiver.serve(until, move |notification| queue.send(notification).unwrap()).await;
    sender.join().unwrap();
    (line, arrivals.iter().collect())
}

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /any HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_good_signature_is_told_from_a_wrong_one() {
    let body = r#"{"test": 2432232314}"#;
    let cases = [
        (vec![SECRET], body, Signature::Good { age_seconds: 2 }),
        (vec!["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SECRET], body, Signature::Good { age_seconds: 2 }),
        (vec![], body, Signature::Unchecked),
    ];
    for (secrets, body, expect) in cases {
        let (line, got) = exchange(200, &secrets, post(SIGNED, body)).await;
        assert_eq!(line, "HTTP/1.1 200 OK");
        assert_eq!(got[0].signature, expect);
        assert_eq!(got[0].id.as_deref(), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"));
    }
    let (_, got) = exchange(200, &[SECRET], post(SIGNED, "{}")).await;
    assert!(matches!(got[0].signature, Signature::Wrong(_)), "{got:?}");
    let (_, got) = exchange(200, &[SECRET], post("", r#"{"type":"a.b"}"#)).await;
    assert_eq!((&got[0].signature, got[0].event_type.as_deref()), (&Signature::Missing, Some("a.b")));
}

#[tokio::test]
async fn the_status_is_the_one_that_was_asked_for() {
    let (line, got) = exchange(503, &[], post("", "x")).await;
    assert_eq!((line.as_str(), got.len()), ("HTTP/1.1 503 Service Unavailable", 1));
}

#[tokio::test]
async fn what_is_no_notification_is_refused() {
    let (line, got) = exchange(200, &[], "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned()).await;
    assert_eq!((line.as_str(), got.len()), ("HTTP/1.1 405 Method Not Allowed", 0));
    let announced = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1048577\r\n\r\n";
    let (line, got) = exchange(200, &[], announced.to_owned()).await;
    assert_eq!((line.as_str(), got.len()), ("HTTP/1.1 413 Payload Too Large", 0));
}
