//! The classifier of this crate, as what a session reads statements with.

use std::borrow::Cow;
use std::sync::Arc;

use super::facts::{Grammar, Statement};
use crate::classify::{Classifier, Dialect, NOT_UNDERSTOOD, Plan, both};
use crate::redact;

impl Grammar for Classifier {
    fn statement(&mut self, text: &[u8], dialect: Dialect) -> Arc<Statement> {
        let classified = self.classify_in(text, dialect);
        let verb: Cow<'_, str> = match &*classified.verbs {
            [] => Cow::Borrowed("EMPTY"),
            [verb] => Cow::Borrowed(verb),
            verbs => {
                // A string of very many statements is named by its first ones.
                let more = if verbs.len() > 8 { "; …" } else { "" };
                Cow::Owned(format!("{}{more}", verbs.get(..8).unwrap_or(verbs).join("; ")))
            }
        };
        let mut statement = Statement::plain(text.to_vec(), classified.action, &verb);
        if classified.secret {
            statement.redacted = Some(redact::text(text).into_owned());
        }
        for plan in &classified.plans {
            // SECURITY: which bytes a name is at the target hangs on encodings, unless it is plain ASCII.
            if let Plan::Prepare { name, .. } | Plan::Execute { name } = plan
                && !name.is_ascii()
            {
                statement.action = both(statement.action, NOT_UNDERSTOOD);
                continue;
            }
            match plan {
                Plan::Prepare { name, action } => {
                    let mut prepared = Statement::plain(text.to_vec(), *action, &verb);
                    prepared.redacted.clone_from(&statement.redacted);
                    statement.prepares.push((name.clone().into_bytes(), Arc::new(prepared)));
                }
                Plan::Execute { name } => statement.runs.push(name.clone().into_bytes()),
                Plan::Deallocate { .. } => {}
                Plan::DeallocateAll => statement.forgets = true,
            }
        }
        Arc::new(statement)
    }
}
