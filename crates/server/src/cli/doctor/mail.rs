//! The mail server of the settings: whether it can be reached and greets. Nothing is sent.

use std::time::Duration;

use engine::transport::{Resolve as _, SystemResolver};
use providers::step::{SmtpServer, SmtpTls};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Finding;
use crate::config::Config;

/// Where the mail server is told.
const VARIABLE: &str = "POSTRIDER_SMTP__URL";

/// For connecting, and again for the greeting, which some servers hold back for seconds to scare off spam.
const PATIENCE: Duration = Duration::from_secs(10);

const CHECK: &str = "mail server";

pub(super) async fn check(config: &Config) -> Option<Finding> {
    let SmtpServer { host, port, tls, .. } = config.smtp.server.as_ref()?;
    Some(match greeting(host, *port, *tls).await {
        Ok(said) => Finding::ok(CHECK, format!("{host}:{port} {said}")),
        Err(why) => {
            let advice = format!("see whether {host} is up and lets this machine connect, and smtp.url ({VARIABLE})");
            Finding::fail(CHECK, format!("{host}:{port}: {why}"), advice)
        }
    })
}

async fn greeting(host: &str, port: u16, tls: SmtpTls) -> Result<String, String> {
    let addresses = SystemResolver.resolve(host, port).await.map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "the operator names this server, and no tenant")]
    let connecting = TcpStream::connect(addresses.as_slice());
    let stream = timeout(PATIENCE, connecting).await.map_err(|_| "no connection in time".to_owned())?;
    let stream = stream.map_err(|error| error.to_string())?;
    if tls == SmtpTls::Implicit {
        // It greets only after a handshake, which needs a session of its own.
        return Ok("takes connections".to_owned());
    }
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    let read = timeout(PATIENCE, reader.read_line(&mut line)).await.map_err(|_| "no greeting in time".to_owned())?;
    read.map_err(|error| error.to_string())?;
    if line.starts_with("220") { Ok("greets".to_owned()) } else { Err(format!("it says {:?}", line.trim())) }
}
