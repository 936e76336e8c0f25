//! Policy: show, plan, apply.

use axum::extract::State;
use daypass_access::command::Ask;
use daypass_access::fact::Fact;
use daypass_access::policy::{self, Policy, PolicyError};
use daypass_api::policy::{PolicyApplied, PolicyFiles, PolicyInForce, PolicyPlan, PolicyProblem};

use crate::app::{Caller, Json, Shared};
use crate::problem::Problem;

/// The policy in force. Administrators and auditors.
#[utoipa::path(get, path = "/v1/policy", tag = "policy", responses((status = 200, body = PolicyInForce)), security(("login" = [])))]
pub(crate) async fn show(caller: Caller) -> Result<Json<PolicyInForce>, Problem> {
    if !caller.is_auditor() {
        return Err(Problem::not_allowed());
    }
    let files = caller.state.policy_files().map(|files| (**files).clone()).unwrap_or_default();
    Ok(Json(PolicyInForce { version: caller.state.policy_version(), files }))
}

/// What a new policy would change, and what is wrong with it. Nothing is applied. Administrators and auditors.
#[utoipa::path(post, path = "/v1/policy/plan", tag = "policy", request_body = PolicyFiles, responses((status = 200, body = PolicyPlan)), security(("login" = [])))]
pub(crate) async fn plan(caller: Caller, Json(body): Json<PolicyFiles>) -> Result<Json<PolicyPlan>, Problem> {
    if !caller.is_auditor() {
        return Err(Problem::not_allowed());
    }
    let from_version = caller.state.policy_version();
    let known = caller.state.people().map(|person| person.id.clone()).collect();
    let parsed = Policy::parse(&body.files);
    let checked = parsed.and_then(|policy| policy.check_people(&known, &body.files).map(|()| policy));
    Ok(Json(match checked {
        Ok(policy) => {
            let changes = policy::plan(caller.state.policy(), &policy);
            let changes = changes.iter().map(ToString::to_string).collect();
            PolicyPlan { from_version, errors: Vec::new(), changes }
        }
        Err(errors) => {
            let errors = errors.into_iter().map(problem).collect();
            PolicyPlan { from_version, errors, changes: Vec::new() }
        }
    }))
}

fn problem(error: PolicyError) -> PolicyProblem {
    PolicyProblem { file: error.file, line: u64::from(error.line), message: error.message, hint: error.hint }
}

/// Puts a policy into effect, whole or not at all. Administrators.
#[utoipa::path(post, path = "/v1/policy/apply", tag = "policy", request_body = PolicyFiles, responses((status = 200, body = PolicyApplied)), security(("login" = [])))]
pub(crate) async fn apply(
    State(app): State<Shared>,
    caller: Caller,
    Json(body): Json<PolicyFiles>,
) -> Result<Json<PolicyApplied>, Problem> {
    let ask = Ask::ApplyPolicy { files: body.files, planned_on: body.expected_version };
    let outcome = app.controller.submit(caller.asks(ask)).await?;
    let version = outcome
        .facts()
        .find_map(|fact| if let Fact::PolicyApplied(applied) = fact { Some(applied.version) } else { None });
    Ok(Json(PolicyApplied { version: version.unwrap_or(outcome.state.policy_version()) }))
}
