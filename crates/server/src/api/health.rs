//! `/healthz`: the process lives. `/readyz`: it can take events.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::problem::Problem;

pub(crate) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

pub(crate) async fn ready(State(engine): State<App>) -> Result<Json<Value>, Problem> {
    engine.check_store().await?;
    Ok(Json(json!({"status": "ready"})))
}
