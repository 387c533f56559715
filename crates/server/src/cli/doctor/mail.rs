//! The mail server of the settings: whether it can be reached and greets. Nothing is sent.

use std::time::Duration;

use engine::transport::{Resolve as _, SystemResolver};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::Finding;

/// Where the mail server is told.
const VARIABLE: &str = "POSTRIDER_SMTP__URL";

/// For connecting, and again for the greeting, which some servers hold back for seconds to scare off spam.
const PATIENCE: Duration = Duration::from_secs(10);

const CHECK: &str = "mail server";

pub(super) async fn check() -> Option<Finding> {
    let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
    let place = Url::parse(&text).ok().and_then(|url| {
        let (port, is_tls) = match url.scheme() {
            "smtp" => (25, false),
            "smtp+starttls" => (587, false),
            "smtps" => (465, true),
            _ => return None,
        };
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some((host, url.port().unwrap_or(port), is_tls))
    });
    let Some((host, port, is_tls)) = place else {
        let advice = "write it like smtp+starttls://user:password@mail.example.com:587";
        return Some(Finding::fail(CHECK, format!("{VARIABLE} is no address of a mail server"), advice));
    };
    Some(match greeting(&host, port, is_tls).await {
        Ok(said) => Finding::ok(CHECK, format!("{host}:{port} {said}")),
        Err(why) => {
            let advice = format!("see whether {host} is up and lets this machine connect, and {VARIABLE}");
            Finding::fail(CHECK, format!("{host}:{port}: {why}"), advice)
        }
    })
}

async fn greeting(host: &str, port: u16, is_tls: bool) -> Result<String, String> {
    let addresses = SystemResolver.resolve(host, port).await.map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "the operator names this server, and no tenant")]
    let connecting = TcpStream::connect(addresses.as_slice());
    let stream = timeout(PATIENCE, connecting).await.map_err(|_| "no connection in time".to_owned())?;
    let stream = stream.map_err(|error| error.to_string())?;
    if is_tls {
        // It greets only after a handshake, which needs a session of its own.
        return Ok("takes connections".to_owned());
    }
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    let read = timeout(PATIENCE, reader.read_line(&mut line)).await.map_err(|_| "no greeting in time".to_owned())?;
    read.map_err(|error| error.to_string())?;
    if line.starts_with("220") { Ok("greets".to_owned()) } else { Err(format!("it says {:?}", line.trim())) }
}
