//! Held actions: opened by the gateway, released or refused by somebody else.

use super::{Case, hash, requests, text, unknown};
use crate::command::{Ask, Code, Denied};
use crate::fact::{HoldDropped, HoldOpened, HoldRefused, HoldReleased};
use crate::id::{HoldId, PersonId};
use crate::state::{Grant, GrantState, Hold, HoldState};

impl<'s> Case<'s> {
    pub(super) fn open_hold(&mut self, ask: &Ask) -> Result<(), Denied> {
        let Ask::OpenHold { hold, session, action, grant, classes, risks, action_commitment, rows_estimate } =
            ask
        else {
            return Ok(());
        };
        self.system_only()?;
        hash("the action's commitment", action_commitment)?;
        let grant = self.state.grant(grant).ok_or_else(|| unknown("grant", grant, "status"))?;
        if self.state.hold(hold).is_some() {
            return Err(Denied::new(
                Code::Exists,
                format!("there is a hold `{hold}` already"),
                "draw a new name",
            ));
        }
        if self.state.grant_state(grant, self.now) != GrantState::Active {
            let message = format!("{} does not hold", grant.id());
            return Err(Denied::new(Code::Expired, message, "the session has to end"));
        }
        let opened = &grant.opened;
        let entitlement = self.state.entitlement(&opened.person, &opened.resource, None);
        let life = self.now.plus_s(self.state.policy().system.hold_life_s);
        let fact = HoldOpened {
            hold: hold.clone(),
            session: session.clone(),
            action: *action,
            person: opened.person.clone(),
            resource: opened.resource.clone(),
            grant: opened.grant.clone(),
            classes: *classes,
            risks: *risks,
            action_commitment: action_commitment.clone(),
            rows_estimate: *rows_estimate,
            lives_until: entitlement.deadline(self.now).map_or(opened.ends, |deadline| life.min(deadline)),
        };
        self.keep(fact);
        Ok(())
    }

    fn waiting(&self, id: &HoldId) -> Result<(&'s Hold, &'s Grant), Denied> {
        let hold = self.state.hold(id).ok_or_else(|| unknown("hold", id, "hold list"))?;
        let grant = self.state.grant(&hold.opened.grant).ok_or_else(|| unknown("hold", id, "hold list"))?;
        let said = match hold.state(self.now) {
            HoldState::Waiting => return Ok((hold, grant)),
            HoldState::Released { by, .. } => format!("`{by}` released {id} already"),
            HoldState::Refused { by, .. } => format!("`{by}` refused {id} already"),
            HoldState::Dropped { because } => format!("{id} no longer waits: {because}"),
        };
        Err(Denied::new(Code::WrongState, said, "nothing to do; see `daypass hold list`"))
    }

    /// As what `by` may decide a hold. I1 holds for actions as it does for requests.
    fn releases_as(&self, hold: &Hold, grant: &Grant, by: &PersonId) -> Result<String, Denied> {
        let id = &hold.opened.hold;
        if self.state.same_human(by, &hold.opened.person) {
            let message = format!("{id} is your own action");
            let hint = "somebody else releases it; cancel it in your own client to let it go";
            return Err(Denied::new(Code::OwnRequest, message, hint));
        }
        let system = &self.state.policy().system;
        if self.in_team(by, &system.may_release) {
            let mut teams = system.may_release.iter();
            let team = teams.find(|team| self.state.policy().is_member(by, std::slice::from_ref(*team)));
            return Ok(team.map(ToString::to_string).unwrap_or_default());
        }
        let root = self.state.grant(&grant.root);
        let request = root.and_then(|root| self.state.request(&root.opened.request));
        let through =
            request.and_then(|request| requests::decides_as(self.state, &request.filed, by, self.now));
        through.map(|through| through.to_string()).ok_or_else(|| {
            let hint = format!(
                "those who could have approved {} can, and {}",
                grant.id(),
                super::team_names(&system.may_release)
            );
            Denied::new(Code::NotAllowed, format!("{id} is not yours to release"), hint)
        })
    }

    pub(super) fn release_hold(&mut self, id: &HoldId, comment: &str) -> Result<(), Denied> {
        text("comment", comment)?;
        let by = self.caller()?.person;
        let (hold, grant) = self.waiting(id)?;
        let through = self.releases_as(hold, grant, &by)?;
        let factor_at = self.fresh_caller()?.factor_at;
        let opened = &hold.opened;
        let entitlement = self.state.entitlement(&opened.person, &opened.resource, None);
        if entitlement.deadline(self.now).is_none() {
            let message = format!("the access that {id} waits under has ended");
            return Err(Denied::new(Code::Expired, message, "nothing to do"));
        }
        let fact = HoldReleased { hold: id.clone(), by: by.clone(), through, factor_at };
        self.keep_sealed(fact, &by, vec![("comment", comment.to_owned())]);
        Ok(())
    }

    pub(super) fn refuse_hold(&mut self, id: &HoldId, comment: &str) -> Result<(), Denied> {
        text("comment", comment)?;
        let by = self.caller()?.person;
        let (hold, grant) = self.waiting(id)?;
        let cuts = !self.state.same_human(&by, &hold.opened.person) && self.may_cut(&by, grant);
        if !cuts {
            self.releases_as(hold, grant, &by)?;
        }
        let fact = HoldRefused { hold: id.clone(), by: by.clone() };
        self.keep_sealed(fact, &by, vec![("comment", comment.to_owned())]);
        Ok(())
    }

    pub(super) fn drop_hold(&mut self, id: &HoldId, because: &str) -> Result<(), Denied> {
        self.system_only()?;
        text("cause", because)?;
        let hold = self.state.hold(id).ok_or_else(|| unknown("hold", id, "hold list"))?;
        if hold.recorded != HoldState::Waiting {
            return Ok(());
        }
        self.keep_dropped(id, because);
        Ok(())
    }

    pub(super) fn keep_dropped(&mut self, id: &HoldId, because: &str) {
        self.keep(HoldDropped { hold: id.clone(), because: because.to_owned() });
    }
}
