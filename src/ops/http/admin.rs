//! The routes that change something, for the holder of the token.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::OpsState;
use super::routes::error;
use crate::market::{SeriesKey, Symbol, Timeframe};

/// The actions of the admin routes.
pub trait Admin: Send + Sync + 'static {
    /// Takes a level or a whole tracing filter into use.
    ///
    /// # Errors
    /// The reason, if it is no filter.
    fn set_log_level(&self, filter: &str) -> Result<(), String>;

    /// Begins the drain, as a SIGTERM would. Does not wait for it.
    fn drain(&self);

    /// Writes checkpoints of everything this process owns.
    fn checkpoint(&self) -> BoxFuture<'static, Checkpoint>;

    /// Resets a series, at a place in the input that all members see.
    fn reset(&self, series: SeriesKey) -> BoxFuture<'static, SeriesReset>;
}

/// The outcome of a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeriesReset {
    /// The series was reset.
    Done {
        /// Bars that were in its window.
        forgotten: u64,
        /// The agents that publish its signals.
        by: Vec<String>,
    },
    /// There is no such series.
    Unknown,
    /// This process may not publish the reset, with what to do.
    Denied(String),
    /// It is not known whether it was followed, with the reason.
    Failed(String),
}

/// The outcome of a request for checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkpoint {
    /// They are written.
    Written {
        /// Of how many partitions.
        partitions: usize,
    },
    /// There is no such thing in this mode of delivery, with the reason.
    Unsupported(String),
    /// They are not written, with the reason.
    Failed(String),
}

pub(super) async fn authorize(
    State(state): State<OpsState>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = &state.admin_token else {
        return error(
            StatusCode::FORBIDDEN,
            "the admin routes are closed; set HTTP_ADMIN_TOKEN (or HTTP_ADMIN_TOKEN_FILE) to open them",
        );
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()));
    // in constant time, so that the time of a refusal says nothing about the token
    let right = given.is_some_and(|given| given.ct_eq(token.as_bytes()).into());
    if !right {
        let message = "send the token as `Authorization: Bearer <token>`";
        let mut refused = error(StatusCode::UNAUTHORIZED, message);
        let challenge = header::HeaderValue::from_static("Bearer");
        refused
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        return refused;
    }
    next.run(request).await
}

/// The credentials of the scheme `Bearer`, whose name is case-insensitive.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[derive(Deserialize)]
struct Level {
    level: String,
}

pub(super) async fn log_level(State(state): State<OpsState>, body: String) -> Response {
    let level = match serde_json::from_str::<Level>(&body) {
        Ok(Level { level }) => level,
        Err(_) if !body.trim_start().starts_with('{') => body.trim().to_owned(),
        Err(wrong) => return error(StatusCode::BAD_REQUEST, wrong.to_string()),
    };
    if level.is_empty() {
        let message = r#"send a level or filter, as text or as {"level":"debug"}"#;
        return error(StatusCode::BAD_REQUEST, message);
    }
    match state.admin.set_log_level(&level) {
        Ok(()) => Json(json!({ "level": level })).into_response(),
        Err(reason) => error(StatusCode::BAD_REQUEST, reason),
    }
}

pub(super) async fn drain(State(state): State<OpsState>) -> Response {
    state.admin.drain();
    (StatusCode::ACCEPTED, Json(json!({ "status": "draining" }))).into_response()
}

pub(super) async fn reset(
    State(state): State<OpsState>,
    Path((symbol, timeframe)): Path<(String, String)>,
) -> Response {
    let series = match series_key(&symbol, &timeframe) {
        Ok(series) => series,
        Err(reason) => return error(StatusCode::BAD_REQUEST, reason),
    };
    match state.admin.reset(series.clone()).await {
        SeriesReset::Done { forgotten, by } => Json(json!({
            "status": "reset", "symbol": series.symbol.as_str(),
            "timeframe": series.timeframe.to_string(), "forgotten": forgotten, "by": by,
        }))
        .into_response(),
        SeriesReset::Unknown => {
            let message = format!("there is no series {series}: nothing was reset");
            error(StatusCode::NOT_FOUND, message)
        }
        SeriesReset::Denied(reason) => error(StatusCode::FORBIDDEN, reason),
        SeriesReset::Failed(reason) => error(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

fn series_key(symbol: &str, timeframe: &str) -> Result<SeriesKey, String> {
    let symbol = Symbol::new(symbol).map_err(|invalid| invalid.to_string())?;
    let timeframe: Timeframe = timeframe.parse().map_err(|invalid| format!("{invalid}"))?;
    Ok(SeriesKey::new(symbol, timeframe))
}

pub(super) async fn checkpoint(State(state): State<OpsState>) -> Response {
    match state.admin.checkpoint().await {
        Checkpoint::Written { partitions } => {
            Json(json!({ "status": "written", "partitions": partitions })).into_response()
        }
        Checkpoint::Unsupported(reason) => error(StatusCode::NOT_IMPLEMENTED, reason),
        Checkpoint::Failed(reason) => error(StatusCode::INTERNAL_SERVER_ERROR, reason),
    }
}
