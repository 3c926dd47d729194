//! The routes of the endpoint and their answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::{OpsState, admin};
use crate::market::{SeriesKey, Symbol};
use crate::ops::health::Condition;
use crate::ops::logs;
use crate::ops::metrics::CONTENT_TYPE;
use crate::ops::query::{SeriesAnswer, SeriesFilter, Unanswered};

/// A request is answered within this, or with 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions answered at once, other than the probes.
const MAX_ASKED: usize = 32;
/// The longest body; the admin routes need a few words.
const MAX_BODY_BYTES: usize = 4 * 1024;
/// Series per page, unless asked for otherwise, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Series that may be skipped: each costs the worker a step.
const MAX_OFFSET: usize = 100_000;

/// For whoever is lost.
const ROUTES: &[&str] = &[
    "GET /livez",
    "GET /readyz",
    "GET /startupz",
    "GET /health",
    "GET /health/{component}",
    "GET /metrics",
    "GET /status",
    "GET /series?symbol=&timeframe=&limit=&offset=",
    "GET /series/{symbol}/{timeframe}?window=",
    "POST /admin/log-level",
    "POST /admin/drain",
    "POST /admin/checkpoint",
    "POST /admin/series/{symbol}/{timeframe}/reset",
];

pub(super) fn router(state: OpsState) -> Router {
    let lane = Arc::new(Semaphore::new(MAX_ASKED));
    let admin = Router::new()
        .route("/admin/log-level", post(admin::log_level))
        .route("/admin/drain", post(admin::drain))
        .route("/admin/checkpoint", post(admin::checkpoint))
        .route(
            "/admin/series/{symbol}/{timeframe}/reset",
            post(admin::reset),
        )
        .route_layer(middleware::from_fn_with_state(
            state.clone(),
            admin::authorize,
        ));
    let questions = Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/series", get(list))
        .route("/series/{symbol}/{timeframe}", get(series))
        .merge(admin)
        .route_layer(middleware::from_fn_with_state(lane, in_lane));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/health", get(health))
        .route("/health/{component}", get(component))
        .merge(questions)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(in_time))
        .with_state(state)
}

/// An error as every route words it: `{"error": …}`.
pub(super) fn error(status: StatusCode, message: impl Into<String>) -> Response {
    (status, Json(json!({ "error": message.into() }))).into_response()
}

/// Answers at most [`MAX_ASKED`] questions at once; the probes have their own lane.
async fn in_lane(State(lane): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match lane.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many questions at once; ask again",
        ),
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => error(StatusCode::SERVICE_UNAVAILABLE, "not answered in time"),
    }
}

async fn not_found(uri: Uri) -> Response {
    let body = json!({ "error": format!("there is nothing at {}", uri.path()), "routes": ROUTES });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not take {method}", uri.path());
    error(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// 200 when nothing is missing, else 503 with what is.
fn probe(missing: &[String]) -> Response {
    let (code, status) = if missing.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    (code, Json(json!({ "status": status, "missing": missing }))).into_response()
}

async fn livez(State(state): State<OpsState>) -> Response {
    probe(&state.health.stalled())
}

async fn readyz(State(state): State<OpsState>) -> Response {
    probe(&state.health.missing())
}

async fn startupz(State(state): State<OpsState>) -> Response {
    if state.health.is_started() {
        probe(&[])
    } else {
        probe(&["start-up has not finished".to_owned()])
    }
}

fn code(condition: Condition) -> StatusCode {
    match condition {
        Condition::Up | Condition::Degraded => StatusCode::OK,
        Condition::Down => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn health(State(state): State<OpsState>) -> Response {
    let report = state.health.report();
    (code(report.condition), Json(report)).into_response()
}

async fn component(State(state): State<OpsState>, Path(name): Path<String>) -> Response {
    let components = state.health.report().components;
    if let Some(found) = components.iter().find(|part| part.name == name) {
        return (code(found.condition), Json(found)).into_response();
    }
    let known: Vec<&str> = components.iter().map(|part| part.name).collect();
    let body = json!({ "error": format!("there is no component {name}"), "components": known });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn metrics(State(state): State<OpsState>) -> Response {
    state.metrics.ready.set(i64::from(state.health.is_ready()));
    let known = state.metrics.log_errors.get();
    let lost = logs::write_errors().saturating_sub(known);
    state.metrics.log_errors.inc_by(lost);
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        state.metrics.render(),
    )
        .into_response()
}

fn unanswered(reason: Unanswered) -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, reason.to_string())
}

async fn status(State(state): State<OpsState>) -> Response {
    match state.queries.status().await {
        Ok(report) => Json(report).into_response(),
        Err(reason) => unanswered(reason),
    }
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    offset: Option<usize>,
    symbol: Option<String>,
    timeframe: Option<String>,
}

async fn list(
    State(state): State<OpsState>,
    page: Result<Query<Page>, QueryRejection>,
) -> Response {
    let page = match page {
        Ok(Query(page)) => page,
        Err(rejection) => return error(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let limit = page.limit.unwrap_or(PAGE).min(MAX_PAGE);
    let offset = page.offset.unwrap_or(0);
    if offset > MAX_OFFSET {
        let message = format!("offset is at most {MAX_OFFSET}; ask for a symbol or a timeframe");
        return error(StatusCode::BAD_REQUEST, message);
    }
    let mut filter = SeriesFilter::default();
    match page.symbol.as_deref().map(Symbol::new).transpose() {
        Ok(symbol) => filter.symbol = symbol,
        Err(invalid) => return error(StatusCode::BAD_REQUEST, invalid.to_string()),
    }
    match page.timeframe.as_deref().map(str::parse).transpose() {
        Ok(timeframe) => filter.timeframe = timeframe,
        Err(invalid) => return error(StatusCode::BAD_REQUEST, format!("{invalid}")),
    }
    match state.queries.list(filter, offset, limit).await {
        Ok(found) => Json(found).into_response(),
        Err(reason) => unanswered(reason),
    }
}

#[derive(Deserialize)]
struct Detail {
    window: Option<String>,
}

/// A number of bars, or whether all of them are wanted.
fn bars_wanted(text: &str) -> Option<usize> {
    match text {
        "true" => Some(usize::MAX),
        "false" => Some(0),
        number => number.parse().ok(),
    }
}

async fn series(
    State(state): State<OpsState>,
    Path((symbol, timeframe)): Path<(String, String)>,
    detail: Result<Query<Detail>, QueryRejection>,
) -> Response {
    let window = match detail {
        Ok(Query(detail)) => match bars_wanted(detail.window.as_deref().unwrap_or("true")) {
            Some(bars) => bars,
            None => {
                let message = "window is a number of bars, true or false";
                return error(StatusCode::BAD_REQUEST, message);
            }
        },
        Err(rejection) => return error(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let symbol = match Symbol::new(&symbol) {
        Ok(symbol) => symbol,
        Err(invalid) => return error(StatusCode::BAD_REQUEST, invalid.to_string()),
    };
    let key = match timeframe.parse() {
        Ok(timeframe) => SeriesKey::new(symbol, timeframe),
        Err(invalid) => return error(StatusCode::BAD_REQUEST, format!("{invalid}")),
    };
    match state.queries.series(key.clone(), window).await {
        Ok(SeriesAnswer::Known(found)) => Json(found).into_response(),
        Ok(SeriesAnswer::Unknown { owner }) => {
            let body = json!({ "error": format!("there is no series {key} here"), "owner": owner });
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
        Err(reason) => unanswered(reason),
    }
}
