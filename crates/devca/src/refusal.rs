//! Errors in Step-CA's words.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400 with the reason.
    BadRequest(String),
    /// 401, which never says why.
    Unauthorized,
    /// 403 with the reason.
    Forbidden(String),
    /// 404 of the API; the reason, if it is told.
    NotFound(Option<String>),
    /// 500, which never says why.
    Internal,
    /// Another status with the nearest generic text.
    Status(u16),
}

impl Refusal {
    fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::Unauthorized => 401,
            Self::Forbidden(_) => 403,
            Self::NotFound(_) => 404,
            Self::Internal => 500,
            Self::Status(status) => *status,
        }
    }

    fn message(&self) -> String {
        const LOGS: &str = "Please see the certificate authority logs for more info.";
        match self {
            Self::BadRequest(why) => format!("The request could not be completed: {why}."),
            Self::Forbidden(why) => {
                format!("The request was forbidden by the certificate authority: {why}.")
            }
            Self::NotFound(Some(why)) => why.clone(),
            Self::Unauthorized | Self::Status(401) => {
                format!("The request lacked necessary authorization to be completed. {LOGS}")
            }
            Self::NotFound(None) | Self::Status(404) => {
                format!("The requested resource could not be found. {LOGS}")
            }
            Self::Status(403) => format!("The request was forbidden by the certificate authority. {LOGS}"),
            Self::Internal | Self::Status(500) => {
                format!("The certificate authority encountered an Internal Server Error. {LOGS}")
            }
            Self::Status(501) => {
                format!("The requested method is not implemented by the certificate authority. {LOGS}")
            }
            Self::Status(status) => {
                format!(
                    "The certificate authority received an unexpected HTTP status code - '{status}'. {LOGS}"
                )
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Refusal {}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(json!({ "status": status.as_u16(), "message": self.message() }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_step_ca() {
        for (refusal, message) in [
            (Refusal::BadRequest("missing csr".into()), "The request could not be completed: missing csr."),
            (Refusal::Forbidden("no".into()), "The request was forbidden by the certificate authority: no."),
            (
                Refusal::Unauthorized,
                "The request lacked necessary authorization to be completed. Please see the certificate \
                 authority logs for more info.",
            ),
        ] {
            assert_eq!(refusal.message(), message);
        }
        assert_eq!(Refusal::Status(401).message(), Refusal::Unauthorized.message());
    }
}
