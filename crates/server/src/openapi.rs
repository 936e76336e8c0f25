//! The description of the API, from the types and the routes themselves.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes::{
    auth, grants, health, logs, people, policy, requests, resources, secrets, sessions, tiles,
};

#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Daypass", description = "Temporary access to production, with proof."),
    modifiers(&Login),
    components(schemas(daypass_api::sessions::LiveAction)),
    paths(
        auth::login, auth::logout, auth::stepup, auth::enroll, auth::whoami,
        resources::list,
        requests::list, requests::file, requests::show, requests::approve, requests::deny, requests::withdraw,
        grants::list, grants::extend, grants::done, grants::revoke, grants::pass,
        sessions::list, sessions::live, sessions::kill, sessions::holds, sessions::release, sessions::refuse,
        logs::records, logs::record, logs::why, logs::access, logs::evidence,
        policy::show, policy::plan, policy::apply,
        people::list, people::invite, people::reinvite, people::suspend, people::restore,
        secrets::list, secrets::set, secrets::remove,
        health::health, health::ca_pem, health::openapi,
        tiles::file,
    )
)]
struct Api;

struct Login;

impl Modify for Login {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        api.components.get_or_insert_default().add_security_scheme("login", scheme);
    }
}

/// The description as it is published, with a newline at the end.
///
/// # Errors
/// When it cannot be written as JSON, which is a defect.
pub fn text() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Api::openapi()).map(|text| text + "\n")
}
