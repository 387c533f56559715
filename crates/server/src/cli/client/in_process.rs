//! In this process, when no server runs: the data directory is taken, and requests go to the router as calls.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;

use super::socket::{self, Found};
use super::{Answer, Way};
use crate::app::{DATABASE_FILE, InProcess, KEY_FILE, Starts};
use crate::cli::exit::Failure;
use crate::config::Config;

/// How often, and how many times, it is looked again when somebody has the data directory and does not listen: a server
/// that is starting or stopping, or another command.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOKS: u32 = 50;

/// The server of the data directory, or this process in its stead.
pub(super) async fn socket_or_here(config: &Config, starts: Starts) -> Result<Way, Failure> {
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    let mut looked = 0;
    loop {
        looks.tick().await;
        looked += 1;
        let (nobody, looks_max) = match socket::find(&config.data_dir).await? {
            Found::Server(path) => return Ok(Way::Socket(path)),
            Found::Nobody(why) => (why, LOOKS),
            Found::Never(why) => (why, 1),
        };
        check_there_is_a_database(config, &nobody)?;
        match InProcess::start(config, starts).await {
            Ok(here) => return Ok(Way::InProcess(Box::new(here))),
            Err(error) if is_locked(&error) && looked < looks_max => {}
            Err(error) if is_locked(&error) => {
                return Err(Failure::unreachable(format!(
                    "{} is in use by a process that does not listen at its socket ({nobody}). Set POSTRIDER_URL and \
                     POSTRIDER_KEY to ask it over the network",
                    config.data_dir.display()
                )));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A command makes no new Postrider: most likely it was started in the wrong place.
fn check_there_is_a_database(config: &Config, nobody: &str) -> Result<(), Failure> {
    let data_dir = &config.data_dir;
    // Of a database on a server, the key is what is here.
    let path = data_dir.join(if config.database.is_some() { KEY_FILE } else { DATABASE_FILE });
    match std::fs::File::open(&path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::unreachable(format!(
            "no server runs here ({nobody}), and {} holds no database. Set POSTRIDER_DATA_DIR (--data-dir) to that of your \
             server, or POSTRIDER_URL and POSTRIDER_KEY; 'postrider serve' starts a new one",
            data_dir.display()
        ))),
        Err(error) => Err(Failure::file("cannot open", &path, &error)),
    }
}

fn is_locked(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(store::StoreError::Locked(_))))
}

pub(super) async fn send(here: &InProcess, request: Request<Bytes>) -> Result<Answer, Failure> {
    let answer = here.call(request.map(Body::from)).await;
    let status = answer.status();
    let body = answer.into_body().collect().await;
    let body = body.map_err(|error| Failure::no(format!("the answer ended early: {error}")))?.to_bytes();
    Ok(Answer { status, body })
}
