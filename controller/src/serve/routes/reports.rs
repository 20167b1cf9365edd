//! `POST /v1/pods/{namespace}/{name}/reports`

use std::error::Error as _;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use crik_api::ErrorCode;
use crik_api::report::Report;
use http_body_util::LengthLimitError;
use tokio::time::timeout;

use crate::base::limits;
use crate::reports::{NotTaken, Of};
use crate::serve::answer;
use crate::serve::app::{App, Reporting};
use crate::serve::caller::ReportingPod;

/// The path.
pub const PATH: &str = "/v1/pods/{namespace}/{name}/reports";

/// Whether this may have a body, also if nothing is done with its method.
pub fn takes_body<B>(request: &Request<B>) -> bool {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) == Some(PATH)
}

/// Takes what an agent tells of its own program.
pub async fn take(State(app): State<App>, ReportingPod(of): ReportingPod, body: Body) -> Response {
    let Some(reporting) = &app.0.reporting else { return answer::no_reports() };
    if let Err(error) = reporting.reports.admit(&of) {
        return answer::last(refused(&error));
    }
    // In a box, since this future is part of each request's, polls included.
    match Box::pin(read(reporting, body)).await {
        Ok(report) => taken(reporting, of, report).await,
        Err(refused) => answer::last(refused),
    }
}

/// To its end, also if the one who tells it does not wait for that.
async fn taken(reporting: &Reporting, of: Of, report: Report) -> Response {
    let reports = Arc::clone(&reporting.reports);
    let taken = tokio::spawn(async move { reports.take(&of, report).await });
    match taken.await {
        Ok(Ok(_)) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => refused(&error),
        Err(error) => answer::broken(&error.to_string()),
    }
}

/// # Errors
/// The answer to what is no report, or does not come.
async fn read(reporting: &Reporting, body: Body) -> Result<Report, Response> {
    let whole = timeout(limits::REPORT_READING, async {
        let _place = reporting.reading.acquire().await;
        to_bytes(body, limits::REPORT_MAX_BYTES).await
    });
    let late = |_| answer::later(ErrorCode::NoRoom, "the report took too long to read; tell it again");
    let bytes: Bytes = whole.await.map_err(late)?.map_err(|error| unread(&error))?;
    let problem =
        |error| format!("this is no report: {error}; is the agent of a later release than this controller?");
    serde_json::from_slice(&bytes).map_err(|error| answer::wrong(ErrorCode::InvalidRequest, problem(error)))
}

fn unread(error: &axum::Error) -> Response {
    if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
        answer::too_large_body()
    } else {
        answer::wrong(ErrorCode::InvalidRequest, format!("the report cannot be read: {error}"))
    }
}

fn refused(error: &NotTaken) -> Response {
    let problem = error.to_string();
    match error {
        NotTaken::TooOften => answer::too_often(problem),
        NotTaken::Gone { .. } => answer::error(StatusCode::FORBIDDEN, ErrorCode::NoSuchPod, problem),
        NotTaken::Forbidden => answer::error(StatusCode::FORBIDDEN, ErrorCode::ControllerForbidden, problem),
        // The agent drops this one and goes on with the next.
        NotTaken::Unwritable(_) => answer::wrong(ErrorCode::InvalidRequest, problem),
        NotTaken::Busy => answer::later(ErrorCode::NoRoom, problem),
        NotTaken::Unavailable(_) => answer::later(ErrorCode::ApiServerUnavailable, problem),
    }
}
