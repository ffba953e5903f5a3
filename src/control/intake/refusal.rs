//! Why a report was refused, in words for the agent's log and as a label for metrics.

use std::error::Error;
use std::fmt;

use axum::http::StatusCode;

use crate::control::arrival::Untimely;
use crate::exchange::report::{Malformed, REPORT_OCTETS_MAX};

/// Why a report was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The vantage of the certificate is not configured.
    UnknownVantage,
    /// The report gives itself another name than the certificate does.
    OtherAgent,
    /// It is no report.
    Malformed(Malformed),
    /// It is longer than a report may be.
    TooLong,
    /// Its body did not come in time.
    Slow,
    /// The connection broke before its end.
    Broken,
    /// It does not come when it should.
    Untimely(Untimely),
    /// The server is behind.
    Busy,
}

impl Refusal {
    /// Why a body could not be had.
    pub(super) fn of_body(error: &(dyn Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |cause| (*cause).source());
        // The type of this cause belongs to a crate that nothing else here needs.
        if causes.any(|cause| cause.to_string().contains("length limit exceeded")) {
            Self::TooLong
        } else {
            Self::Broken
        }
    }

    /// The label.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::UnknownVantage => "unknown-vantage",
            Self::OtherAgent => "other-agent",
            Self::Malformed(_) => "malformed",
            Self::TooLong => "too-long",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::Untimely(Untimely::Old) => "old-number",
            Self::Untimely(Untimely::Late) => "late",
            Self::Untimely(Untimely::Future) => "future",
            Self::Busy => "busy",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::UnknownVantage | Self::OtherAgent => StatusCode::FORBIDDEN,
            Self::Malformed(_) | Self::Broken => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Untimely(_) => StatusCode::CONFLICT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Untimely> for Refusal {
    fn from(untimely: Untimely) -> Self {
        Self::Untimely(untimely)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVantage => f.write_str("the vantage of this certificate is not configured here"),
            Self::OtherAgent => f.write_str("the report is of another agent than the certificate"),
            Self::Malformed(malformed) => write!(f, "{malformed}"),
            Self::TooLong => write!(f, "the report is longer than {REPORT_OCTETS_MAX} octets"),
            Self::Slow => f.write_str("the report did not come in time"),
            Self::Broken => f.write_str("the report broke off"),
            Self::Untimely(Untimely::Old) => f.write_str("this report or a later one came already"),
            Self::Untimely(Untimely::Late) => f.write_str("the report was held up on its way"),
            Self::Untimely(Untimely::Future) => f.write_str("the report is dated ahead"),
            Self::Busy => f.write_str("the server is behind"),
        }
    }
}
