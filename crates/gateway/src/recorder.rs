//! Turns what a session hands out into sealed records of the activity log.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use daypass_access::action::ClassSet;
use daypass_access::activity;
use daypass_access::id::HoldId;
use daypass_access::pipeline::Because;
use daypass_access::time::Micros;
use daypass_journal::Lane;
use daypass_ledger::sealed::Sealer;
use daypass_pg::message::Param;
use daypass_pg::session::{
    Ending, Form, Holding, Intent, Outcome, Params, Recorder, Refusal, Statement, Unrecorded,
};
use rand::Rng;
use sha2::{Digest, Sha256};

use crate::live::LiveKind;
use crate::node::Node;
use crate::sealing::Sealing;
use crate::seat::{Current, Seat};

/// A parameter longer than this is recorded by its beginning, its length and its hash, in bytes.
const PARAM_LEN_MAX: usize = 4096;

/// The recorder of one session.
pub(crate) struct SessionRecorder {
    node: Arc<Node>,
    seat: Arc<Seat>,
    sealer: Sealer,
    params: Vec<u8>,
    /// The hold that was just opened.
    pub(crate) hold: Option<Opened>,
    /// The hold that was just released.
    pub(crate) released: Option<HoldId>,
    last: Option<Current>,
}

/// A hold that was just opened.
pub(crate) struct Opened {
    pub(crate) hold: HoldId,
    /// What binds it to its action.
    pub(crate) action_commitment: String,
    /// Position of its record in the log.
    pub(crate) index: u64,
}

impl SessionRecorder {
    pub(crate) fn new(node: Arc<Node>, seat: Arc<Seat>, sealer: Sealer) -> Self {
        Self { node, seat, sealer, params: Vec::new(), hold: None, released: None, last: None }
    }

    /// Seals text and parameters. They stand in the order of their names, as a reader of the record keeps them.
    fn seal(&mut self, statement: &Statement, params: Params<'_>) -> Result<Sealing, Unrecorded> {
        self.params.clear();
        write_params(params, &mut self.params);
        let text = statement.shown();
        let fields: &[(&str, &[u8])] = if self.params.is_empty() {
            &[("text", text)]
        } else {
            &[("params", &self.params), ("text", text)]
        };
        Sealing::new(&self.sealer, fields).map_err(|_| Unrecorded)
    }

    /// Appends a record.
    fn append(
        &self,
        lane: Lane,
        sealing: Option<Sealing>,
        encode: impl FnOnce(u64, &mut Vec<u8>),
    ) -> Result<u64, Unrecorded> {
        self.node.append(lane, sealing, encode).map_err(|error| {
            tracing::error!(%error, session = %self.seat.session, "the activity log does not take records");
            Unrecorded
        })
    }

    fn watched(&mut self, number: u64, at: Micros, statement: &Arc<Statement>, kind: LiveKind) {
        let current = Current { number, at, statement: Arc::clone(statement), kind };
        if self.node.live.receiver_count() > 0 {
            // Nobody listening any more is no failure.
            drop(self.node.live.send(self.seat.action(&current)));
        }
        self.last = Some(current.clone());
        self.seat.is_at(current);
    }
}

fn none() -> Option<&'static ()> {
    None
}

impl Recorder for SessionRecorder {
    fn intent(&mut self, intent: &Intent<'_>) -> Result<u64, Unrecorded> {
        let sealing = self.seal(intent.statement, intent.params)?;
        let hold = if intent.form == Form::Released { self.released.take() } else { None };
        let (seat, gate) = (&self.seat, self.node.gate);
        let index = self.append(Lane::Intent, Some(sealing), |seq, out| {
            activity::Intent {
                session: seat.session.as_str().into(),
                action: intent.number,
                person: seat.holder.person.as_str().into(),
                resource: seat.holder.resource.as_str().into(),
                grant: intent.allow.grant().as_str().into(),
                control: intent.allow.control_size(),
                verb: verb(intent.form, intent.statement),
                classes: intent.action.classes,
                risks: intent.action.risks,
                pure_read: intent.action.pure_read,
                gate,
                rule: intent.allow.rule().as_str().into(),
                hold: hold.as_ref().map(|hold| hold.as_str().into()),
            }
            .encode(intent.at, seq, none(), out);
        })?;
        self.seat.actions.fetch_add(1, Ordering::Relaxed);
        self.watched(intent.number, intent.at, intent.statement, LiveKind::Intent);
        Ok(index)
    }

    fn refusal(&mut self, refusal: &Refusal<'_>) -> Result<(), Unrecorded> {
        let sealing = self.seal(refusal.statement, refusal.params)?;
        let seat = &self.seat;
        let (because, missing) = match refusal.denied.because {
            Because::NoGrant => ("no-grant", ClassSet::EMPTY),
            Because::NotGranted(missing) => ("not-granted", missing),
        };
        self.append(Lane::Outcome, Some(sealing), |seq, out| {
            activity::Denied {
                session: seat.session.as_str().into(),
                action: refusal.number,
                person: seat.holder.person.as_str().into(),
                resource: seat.holder.resource.as_str().into(),
                control: refusal.denied.control_size,
                verb: verb(refusal.form, refusal.statement),
                classes: refusal.action.classes,
                risks: refusal.action.risks,
                missing,
                rule: refusal.denied.rule.as_str().into(),
                because: because.into(),
                hold: None,
            }
            .encode(refusal.at, seq, none(), out);
        })?;
        self.seat.denied.fetch_add(1, Ordering::Relaxed);
        self.watched(refusal.number, refusal.at, refusal.statement, LiveKind::Denied);
        self.seat.finished(refusal.number);
        Ok(())
    }

    fn holding(&mut self, holding: &Holding<'_>) -> Result<(), Unrecorded> {
        let sealing = self.seal(holding.statement, holding.params)?;
        // What binds the hold to the action is the hash of the sealed fields: it hides what guessing would find.
        let action_commitment = hex::encode(Sha256::digest(&sealing.json));
        let mut random = [0; 8];
        rand::rng().fill_bytes(&mut random);
        let hold = HoldId::new(&format!("H-{}", hex::encode(random)));
        let seat = &self.seat;
        let index = self.append(Lane::Intent, Some(sealing), |seq, out| {
            activity::Held {
                session: seat.session.as_str().into(),
                action: holding.number,
                person: seat.holder.person.as_str().into(),
                resource: seat.holder.resource.as_str().into(),
                grant: holding.hold.grant().as_str().into(),
                control: holding.control_size,
                verb: verb(holding.form, holding.statement),
                classes: holding.action.classes,
                risks: holding.hold.risks,
                rule: holding.hold.rule().as_str().into(),
                hold: hold.as_str().into(),
            }
            .encode(holding.at, seq, none(), out);
        })?;
        self.hold = Some(Opened { hold, action_commitment, index });
        self.watched(holding.number, holding.at, holding.statement, LiveKind::Held);
        Ok(())
    }

    fn outcome(&mut self, outcome: &Outcome<'_>) -> Result<(), Unrecorded> {
        let tag = String::from_utf8_lossy(outcome.tag);
        let (result, code) = match &outcome.ending {
            Ending::Done => ("ok", ""),
            Ending::Suspended => ("suspended", ""),
            Ending::Failed(code) if code.as_str() == "57014" => ("cancelled", code.as_str()),
            Ending::Failed(code) => ("error", code.as_str()),
            Ending::Skipped => ("skipped", ""),
            Ending::Unknown => ("cut", ""),
            Ending::NotReleased => ("not-released", ""),
        };
        let data_sha256 = outcome.copy_sha256.map(hex::encode);
        let seat = &self.seat;
        self.append(Lane::Outcome, None, |seq, out| {
            activity::Outcome {
                session: seat.session.as_str().into(),
                action: outcome.number,
                result: result.into(),
                tag: Cow::Borrowed(&tag),
                rows: outcome.rows,
                bytes: outcome.bytes,
                sent: outcome.copy_bytes,
                took_us: outcome.duration_us,
                code: code.into(),
                data_sha256: data_sha256.as_deref().map(Into::into),
            }
            .encode(outcome.at, seq, none(), out);
        })?;
        self.seat.finished(outcome.number);
        if self.node.live.receiver_count() > 0
            && let Some(last) = self.last.take_if(|last| last.number == outcome.number)
        {
            let kind = LiveKind::Outcome {
                tag: Arc::from(&*tag),
                sqlstate: (!code.is_empty()).then(|| Arc::from(code)),
                rows: outcome.rows,
                duration_us: outcome.duration_us,
            };
            // Nobody listening any more is no failure.
            drop(self.node.live.send(self.seat.action(&Current { kind, at: outcome.at, ..last })));
        }
        Ok(())
    }
}

/// What an action is, in one word or two.
fn verb(form: Form, statement: &Statement) -> Cow<'_, str> {
    if form == Form::Prepare {
        Cow::Owned(format!("PREPARE {}", statement.verb))
    } else {
        (&*statement.verb).into()
    }
}

/// Writes parameters as a JSON array: text as strings, binary as `{"hex":…}`, long ones as
/// `{"len":…,"sha256":…,"start":…}`, NULL as null.
fn write_params(params: Params<'_>, out: &mut Vec<u8>) {
    match params {
        Params::None => {}
        Params::Bind(bind) if bind.is_empty() => {}
        Params::Bind(bind) => write_each(bind.params(), out),
        Params::Call(call) => write_each(call.arguments(), out),
        Params::Beginning(beginning, len) => {
            let start = beginning.get(..PARAM_LEN_MAX).unwrap_or(beginning);
            out.extend_from_slice(
                format!("[{{\"len\":{len},\"start\":\"{}\"}}]", hex::encode(start)).as_bytes(),
            );
        }
    }
}

fn write_each<'a>(params: impl Iterator<Item = Param<'a>>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, param) in params.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_param(param, out);
    }
    out.push(b']');
}

fn write_param(param: Param<'_>, out: &mut Vec<u8>) {
    let Some(value) = param.value else { return out.extend_from_slice(b"null") };
    if value.len() > PARAM_LEN_MAX {
        let start = hex::encode(value.get(..256).unwrap_or_default());
        let sha256 = hex::encode(Sha256::digest(value));
        let long = format!("{{\"len\":{},\"sha256\":\"{sha256}\",\"start\":\"{start}\"}}", value.len());
        return out.extend_from_slice(long.as_bytes());
    }
    match std::str::from_utf8(value) {
        Ok(text) if !param.binary => {
            let written = serde_json::to_writer(&mut *out, text);
            debug_assert!(written.is_ok(), "text is always JSON");
        }
        Ok(_) | Err(_) => out.extend_from_slice(format!("{{\"hex\":\"{}\"}}", hex::encode(value)).as_bytes()),
    }
}
