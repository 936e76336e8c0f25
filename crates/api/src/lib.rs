//! Request and response types of the HTTP API, `/v1`. The source of `docs/reference/openapi.json`; it holds no server.
//!
//! Times are microseconds since the Unix epoch, UTC, in fields that end in `at`; spans are seconds and end in `_s`.
//! Requests refuse unknown fields; responses may grow.

pub mod auth;
pub mod error;
pub mod health;
pub mod hidden;
pub mod log;
pub mod people;
pub mod policy;
pub mod requests;
pub mod resources;
pub mod sessions;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// What is in it, in the order the route documents.
    pub items: Vec<T>,
}

/// An answer that says nothing but yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {}
