//! A journey in an order: the form in which its steps travel, written out apart from what the configuration believes.

use serde::{Deserialize, Serialize};

use crate::config::journey::{Find, METHODS, STEPS_MAX, Step};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct OrderedStep {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    status: Vec<u16>,
    body_contains: Option<String>,
    header_contains: Vec<(String, String)>,
    save: Vec<(String, Place)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    Json(String),
    Header(String),
    Between(String, String),
}

impl OrderedStep {
    pub(super) fn of(step: &Step) -> Self {
        let Step { method, path, headers, body, status, body_contains, header_contains, save } = step.clone();
        let save = save.into_iter().map(|(name, find)| (name, Place::of(find))).collect();
        Self {
            method: method.as_str().to_owned(),
            path,
            headers,
            body,
            status,
            body_contains,
            header_contains,
            save,
        }
    }

    fn believed(self) -> Option<Step> {
        let Self { method, path, headers, body, status, body_contains, header_contains, save } = self;
        let (_, method) = *METHODS.iter().find(|(word, _)| *word == method)?;
        let save = save.into_iter().map(|(name, place)| (name, place.believed())).collect();
        Some(Step { method, path, headers, body, status, body_contains, header_contains, save })
    }
}

/// The steps, if they are such as are known here, and not too many.
pub(super) fn believed(steps: Vec<OrderedStep>) -> Option<Vec<Step>> {
    if !(1..=STEPS_MAX).contains(&steps.len()) {
        return None;
    }
    steps.into_iter().map(OrderedStep::believed).collect()
}

impl Place {
    fn of(find: Find) -> Self {
        match find {
            Find::Json(pointer) => Self::Json(pointer),
            Find::Header(name) => Self::Header(name),
            Find::Between(after, before) => Self::Between(after, before),
        }
    }

    fn believed(self) -> Find {
        match self {
            Self::Json(pointer) => Find::Json(pointer),
            Self::Header(name) => Find::Header(name),
            Self::Between(after, before) => Find::Between(after, before),
        }
    }
}
