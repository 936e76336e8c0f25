//! Records for what time alone has ended. Only says so: I18.

use super::Case;
use crate::command::Denied;
use crate::fact::{GrantEnd, RequestExpired};
use crate::state::{GrantState, HoldState, RequestState};

/// How many records one sweep makes; the next one goes on.
const RECORDS_MAX: usize = 256;

impl Case<'_> {
    pub(super) fn sweep(&mut self) -> Result<(), Denied> {
        self.system_only()?;
        let (state, now) = (self.state, self.now);
        for request in state.undecided_requests() {
            if request.state(now) == RequestState::Expired {
                self.keep(RequestExpired { request: request.id().clone() });
            }
        }
        for grant in state.unended_grants() {
            let over = matches!(state.grant_state(grant, now), GrantState::Ended | GrantState::TenureEnded);
            if over {
                self.end_grant(grant, GrantEnd::Ended, None);
            }
        }
        for hold in state.unfinished_holds() {
            if hold.state(now) != HoldState::Waiting {
                self.keep_dropped(&hold.opened.hold, "lapsed");
            }
        }
        self.records.truncate(RECORDS_MAX);
        Ok(())
    }
}
