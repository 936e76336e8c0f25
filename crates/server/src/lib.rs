//! The control plane: HTTP API, login, certificates, wiring. One process, one data directory.
//!
//! Start reading at [`init`] (how an installation begins) and [`serve`] (how it runs); `routes.rs` is the table of routes,
//! `problem.rs` the one place that turns errors into answers.

mod app;
pub mod clock;
pub mod config;
mod evidence;
pub mod files;
mod http;
pub mod init;
mod live;
pub mod login;
pub mod openapi;
mod problem;
mod reading;
mod records;
mod routes;
pub mod serve;
pub mod tls;
mod why;

pub use init::{Founded, Founding, InitError, init};
pub use serve::{Running, StartError, serve};
