//! The live sessions, as the API shows them: a thin view of the gateway. Evidence is the log's.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use daypass_access::id::SessionId;
use daypass_api::sessions::{LiveAction, Session};
use daypass_control::Controller;
use daypass_gateway::{GatewayHandle, LiveKind, SessionView};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::app::Caller;
use crate::routes::{classes, risks, sees_grant};

/// Events that wait for a slow reader.
const WAITING_MAX: usize = 256;
/// A comment is sent so often, to notice readers that are gone and logins that ended.
const PULSE: Duration = Duration::from_secs(10);

/// The gateway, as long as it runs.
#[derive(Clone, Debug)]
pub(crate) struct Live(Arc<RwLock<Option<GatewayHandle>>>);

impl Live {
    pub(crate) fn new(gateway: GatewayHandle) -> Self {
        Self(Arc::new(RwLock::new(Some(gateway))))
    }

    /// Takes the gateway out, to stop it.
    pub(crate) fn take(&self) -> Option<GatewayHandle> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn views(&self) -> Vec<SessionView> {
        let gateway = self.0.read().unwrap_or_else(PoisonError::into_inner);
        gateway.as_ref().map(GatewayHandle::sessions).unwrap_or_default()
    }

    fn view(&self, session: &SessionId) -> Option<SessionView> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.session(session)
    }

    /// Every live session.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        self.views().into_iter().map(|view| session(&view)).collect()
    }

    /// The text of the action that a session holds, secrets redacted.
    pub(crate) fn held_text(&self, session: &SessionId) -> Option<String> {
        let current = self.view(session)?.current?;
        (current.kind == LiveKind::Held).then(|| current.text.to_string())
    }

    /// Actions as they happen, of the sessions the caller may see, until the login ends.
    pub(crate) fn events(&self, controller: Controller, caller: Caller) -> Response {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(forward(self.clone(), controller, caller, sender));
        let kind = HeaderValue::from_static("text/event-stream");
        ([(header::CONTENT_TYPE, kind)], Body::new(Events(receiver))).into_response()
    }
}

fn session(view: &SessionView) -> Session {
    Session {
        id: view.session.to_string(),
        person: view.person.to_string(),
        resource: view.resource.to_string(),
        grant: view.grant.to_string(),
        status: view.state.name().to_owned(),
        opened_at: view.started.0,
        deadline_at: view.ends.0,
        origin: view.origin.to_string(),
        actions: view.actions,
        hold: None,
        target_pid: Some(i64::from(view.backend_pid)),
    }
}

async fn forward(live: Live, controller: Controller, mut caller: Caller, events: mpsc::Sender<Bytes>) {
    let subscribed = {
        let gateway = live.0.read().unwrap_or_else(PoisonError::into_inner);
        gateway.as_ref().map(GatewayHandle::subscribe)
    };
    let Some(mut actions) = subscribed else { return };
    let mut pulse = tokio::time::interval(PULSE);
    loop {
        let text = tokio::select! {
            _ = pulse.tick() => ": still here\n\n".to_owned(),
            action = actions.recv() => match action {
                Ok(action) => {
                    (caller.state, caller.now) = (controller.state(), controller.now());
                    // The session may be over by now; its grant is not forgotten.
                    let grant = caller.state.grant(&action.grant);
                    if !grant.is_some_and(|grant| sees_grant(&caller, grant)) {
                        continue;
                    }
                    event(&action)
                }
                Err(RecvError::Lagged(missed)) => format!("event: missed\ndata: {missed}\n\n"),
                Err(RecvError::Closed) => return,
            },
        };
        let holds =
            controller.state().authenticate_login(&caller.login.token_sha256, controller.now()).is_some();
        // A reader that does not read is dropped: it may come back and read the log.
        if !holds || events.try_send(Bytes::from(text)).is_err() {
            return;
        }
    }
}

fn event(action: &daypass_gateway::LiveAction) -> String {
    let (kind, tag, sqlstate, rows, took_us) = match &action.kind {
        LiveKind::Intent => ("intent", None, None, None, None),
        LiveKind::Denied => ("denied", None, None, None, None),
        LiveKind::Held => ("held", None, None, None, None),
        LiveKind::Outcome { tag, sqlstate, rows, duration_us } => {
            ("outcome", Some(tag.to_string()), sqlstate.as_deref(), Some(*rows), Some(*duration_us))
        }
    };
    let shown = LiveAction {
        session: action.session.to_string(),
        person: action.person.to_string(),
        resource: action.resource.to_string(),
        action: action.action,
        at: action.at.0,
        kind: kind.to_owned(),
        verb: action.verb.to_string(),
        classes: classes(action.classes),
        risks: risks(action.risks),
        text: action.text.to_string(),
        tag,
        code: sqlstate.map(str::to_owned),
        rows,
        took_us,
    };
    let data = serde_json::to_string(&shown).unwrap_or_default();
    format!("event: action\ndata: {data}\n\n")
}

/// A body that is sent as it comes.
struct Events(mpsc::Receiver<Bytes>);

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
