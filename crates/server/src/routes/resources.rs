//! What one may reach or ask for.

use daypass_access::person::PersonKind;
use daypass_api::List;
use daypass_api::resources::{CurrentAccess, Resource, RoleOffer};

use crate::app::{Caller, Json};
use crate::problem::Problem;
use crate::routes::views;

/// Resources the reader has access to or may ask for, by name.
#[utoipa::path(get, path = "/v1/resources", tag = "resources", responses((status = 200, body = List<Resource>)), security(("login" = [])))]
pub(crate) async fn list(caller: Caller) -> Result<Json<List<Resource>>, Problem> {
    let (state, now) = (&caller.state, caller.now);
    let policy = state.policy();
    let contractor = state.person(&caller.person).is_some_and(|p| p.profile.kind == PersonKind::Contractor);
    let mut items = Vec::new();
    for reach in state.reach(&caller.person, now) {
        let Some(resource) = policy.resources.get(&reach.resource) else { continue };
        let offers = policy.roles_for(&caller.person, &reach.resource).map(|(name, role)| RoleOffer {
            name: name.to_string(),
            classes: views::classes(role.allow),
            holds: views::risks(role.hold),
            default_duration_s: role.default_duration_s,
            max_duration_s: if contractor {
                role.contractor_max_s.min(role.max_duration_s)
            } else {
                role.max_duration_s
            },
            reason_required: role.reason_required,
            steps: role.steps.iter().map(views::step_words).collect(),
        });
        let entitlement = state.entitlement(&caller.person, &reach.resource, None);
        let access = entitlement.deadline(now).map(|ends| CurrentAccess {
            grants: reach.grants.iter().map(|(grant, _)| grant.to_string()).collect(),
            classes: views::classes(entitlement.classes(now)),
            ends_at: ends.0,
        });
        items.push(Resource {
            name: reach.resource.to_string(),
            kind: "postgres".to_owned(),
            database: resource.database.clone(),
            labels: resource.labels.clone(),
            sensitive: resource.sensitive,
            roles: offers.collect(),
            access,
        });
    }
    Ok(Json(List { items }))
}
