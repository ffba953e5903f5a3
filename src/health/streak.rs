//! Fall and rise counts and the window ratio, per agent and target.

/// When a target counts as failing or working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures in a row until it is failing.
    pub fall: u8,
    /// Successes in a row until it works again.
    pub rise: u8,
    /// How many of the last outcomes the window holds; at most 64.
    pub window: u8,
    /// How many failures in a full window mean failing, in a row or not.
    pub window_failures: u8,
}
