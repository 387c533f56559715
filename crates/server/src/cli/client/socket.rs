//! Over the socket in the data directory, to the server that runs there.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{ANSWER_TIMEOUT, Answer};
use crate::cli::exit::Failure;
use crate::http::socket::path_in;

/// What a look at the socket finds.
pub(super) enum Found {
    /// A server answers.
    Server(PathBuf),
    /// Nobody listens, and why.
    Nobody(String),
    /// Nobody ever listens there, and why.
    Never(String),
}

/// Looks whether a server listens.
pub(super) async fn find(data_dir: &Path) -> Result<Found, Failure> {
    let path = match path_in(data_dir) {
        Ok(path) => path,
        Err(error) => return Ok(Found::Never(error.to_string())),
    };
    match UnixStream::connect(&path).await {
        Ok(_) => Ok(Found::Server(path)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Failure::not_allowed(format!(
            "you may not open {}: it is for the user that the server runs as. Run this as that user, or set POSTRIDER_URL \
             and POSTRIDER_KEY",
            path.display()
        ))),
        Err(error) => Ok(Found::Nobody(format!("{}: {error}", path.display()))),
    }
}

/// Sends one request over a connection of its own.
pub(super) async fn send(path: &Path, request: Request<Bytes>) -> Result<Answer, Failure> {
    match tokio::time::timeout(ANSWER_TIMEOUT, exchange(path, request)).await {
        Ok(answered) => answered,
        Err(_) => Err(lost(path, &format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
    }
}

fn lost(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::unreachable(format!("the server at {} does not answer: {why}", path.display()))
}

async fn exchange(path: &Path, request: Request<Bytes>) -> Result<Answer, Failure> {
    let lost = |why: &dyn std::fmt::Display| lost(path, why);
    let stream = UnixStream::connect(path).await.map_err(|error| lost(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    let exchange = async {
        let answer = sender.send_request(request.map(Full::new)).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        // The connection ends when nobody can send any more.
        drop(sender);
        Ok::<_, hyper::Error>(Answer { status, body })
    };
    let (answer, _) = tokio::join!(exchange, connection);
    answer.map_err(|error| lost(&error))
}
