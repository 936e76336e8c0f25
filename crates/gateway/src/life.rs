//! The life of one connection: greeted, identified, recorded, let through to the target, relayed, closed, recorded.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use daypass_access::activity;
use daypass_access::id::{ResourceId, RoleId, SessionId};
use daypass_access::pipeline::Entitlement;
use daypass_access::state::PassHolder;
use daypass_access::time::Micros;
use daypass_journal::{AppendError, Lane};
use daypass_pg::classify::Dialect;
use daypass_pg::error::{Report, Severity, SqlState};
use daypass_pg::session::Session;
use daypass_pg::startup::{CancelKey, Version};
use daypass_pg::write::{self, Transaction};
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::front::{self, Arrival, Hello};
use crate::live::EndReason;
use crate::node::Node;
use crate::parameters;
use crate::pump::{ClientStream, Pump, Shared};
use crate::recorder::SessionRecorder;
use crate::sealing::{self, SealFailed, Sealing};
use crate::seat::Seat;
use crate::supervise;
use crate::target::{Unreached, Way};
use crate::upstream::{CANCEL_TIMEOUT, Upstream};

/// Serves one accepted connection to its end.
pub(crate) async fn serve(node: Arc<Node>, shared: Arc<Shared>, tcp: TcpStream, peer: SocketAddr) {
    match front::arrive(tcp, &node.tls).await {
        Ok(Arrival::Start(hello)) => {
            if let Some(open) = enter(&node, *hello, peer).await {
                run(&node, shared, open).await;
            }
        }
        Ok(Arrival::Cancel { key, socket }) => {
            cancel(&node, &key, peer).await;
            drop(socket);
        }
        Err(failure) => tracing::debug!(%peer, %failure, "a client did not arrive"),
    }
}

/// Passes a cancel request on to the session it names, recorded; returns when it was delivered to the target. A client that
/// sees its request done may start its next statement, which a late cancel would hit.
async fn cancel(node: &Node, key: &CancelKey, peer: SocketAddr) {
    let seat = node.registry.by_key(key);
    let record = activity::Cancel {
        session: seat.as_ref().map_or("", |seat| seat.session.as_str()).into(),
        forwarded: seat.is_some(),
    };
    let subject = seat.as_ref().map_or(activity::UNKNOWN, |seat| seat.holder.person.as_str());
    let (at, origin) = (node.now(), peer.to_string());
    let recorded = append_sealed(node, Lane::Outcome, subject, &[("origin", &origin)], |seq, out| {
        record.encode(at, seq, None::<&()>, out);
    });
    match (seat, recorded) {
        (Some(seat), Ok(_)) => {
            let (delivered, delivery) = oneshot::channel();
            seat.tell(|told| told.cancel.push(delivered));
            // The sender is dropped when it was delivered, or when there was nothing to cancel.
            drop(tokio::time::timeout(CANCEL_TIMEOUT, delivery).await);
        }
        (None, Ok(_)) => {}
        (_, Err(error)) => tracing::error!(%error, "a cancel request could not be recorded"),
    }
}

/// Why a record with personal values was not taken.
enum Untaken {
    Seal(SealFailed),
    Append(AppendError),
}

impl fmt::Display for Untaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seal(failed) => failed.fmt(f),
            Self::Append(error) => error.fmt(f),
        }
    }
}

/// Appends a record with personal values of `subject`, in the order of their names; gives its position.
fn append_sealed(
    node: &Node,
    lane: Lane,
    subject: &str,
    fields: &[(&str, &str)],
    encode: impl FnOnce(u64, &mut Vec<u8>),
) -> Result<u64, Untaken> {
    let sealer = sealing::sealer(&node.vault, subject).map_err(Untaken::Seal)?;
    let fields: Vec<(&str, &[u8])> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let sealing = Sealing::new(&sealer, &fields).map_err(Untaken::Seal)?;
    node.append(lane, Some(sealing), encode).map_err(Untaken::Append)
}

/// A session that may begin.
struct Open {
    hello: Hello,
    seat: Arc<Seat>,
    entitlement: Arc<Entitlement>,
    way: Way,
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What the client asked for, and who it turned out to be.
struct Asked {
    session: SessionId,
    user: String,
    resource: ResourceId,
    role: Option<RoleId>,
    origin: Arc<str>,
}

/// Identifies the person and seats the session; or refuses, in words and in the log.
async fn enter(node: &Arc<Node>, mut hello: Hello, peer: SocketAddr) -> Option<Open> {
    let token_sha256 = hex::encode(Sha256::digest(&*hello.pass));
    let mut random = [0; 8];
    rand::rng().fill_bytes(&mut random);
    let user = std::mem::take(&mut hello.user);
    let (resource, role) = match user.split_once('/') {
        Some((resource, role)) => (ResourceId::new(resource), Some(RoleId::new(role))),
        None => (ResourceId::new(&user), None),
    };
    let session = SessionId::new(&format!("S-{}", hex::encode(random)));
    let asked = Asked { session, user, resource, role, origin: peer.to_string().into() };
    let (state, now) = (node.controller.state(), node.now());
    let known = state.authenticate_pass(&token_sha256, &asked.resource, asked.role.as_ref(), now);
    let holder = match known {
        Ok(holder) => holder,
        Err(refusal) => {
            refuse(node, &mut hello.stream, &asked, None, refusal.name(), &wrong_pass()).await;
            return None;
        }
    };
    let entitlement = Arc::new(state.entitlement_of(&holder, asked.role.as_ref()));
    let way = state
        .policy()
        .resources
        .get(&asked.resource)
        .map(|resource| Way { resource: resource.clone(), credential: holder.credential.clone() });
    let (Some(ends), Some(way)) = (entitlement.deadline(now), way) else {
        refuse(node, &mut hello.stream, &asked, Some(&holder), "grant-ended", &wrong_pass()).await;
        return None;
    };
    if hello.replication {
        refuse(node, &mut hello.stream, &asked, Some(&holder), "replication", &no_replication()).await;
        return None;
    }
    let parameters = match parameters::allowed(&hello.parameters, &asked.session) {
        Ok(parameters) => parameters,
        Err(name) => {
            let message = format!("the startup parameter `{name}` cannot be set through the gateway");
            let report =
                fatal(SqlState::FEATURE_NOT_SUPPORTED, &message, "set it with SET, after connecting");
            refuse(node, &mut hello.stream, &asked, Some(&holder), "parameter", &report).await;
            return None;
        }
    };
    let secret_len = if hello.version >= Version::V3_2 { 32 } else { 4 };
    let (session, origin, role) = (asked.session.clone(), Arc::clone(&asked.origin), asked.role.clone());
    let seated = holder.clone();
    let seat = node
        .registry
        .seat(node.limits.sessions, secret_len, |key| Seat::new(session, seated, role, now, origin, key));
    let Some(seat) = seat else {
        let report = fatal(SqlState::TOO_MANY_CONNECTIONS, "too many sessions", "try again in a moment");
        refuse(node, &mut hello.stream, &asked, Some(&holder), "session-limit", &report).await;
        return None;
    };
    seat.ends_at(ends);
    // What changed between the look at the state and the seat was told to nobody.
    supervise::tell(&seat, &node.controller.state(), node.now());
    Some(Open { hello, seat, entitlement, way, parameters })
}

fn fatal<'a>(code: SqlState, message: &'a str, hint: &'a str) -> Report<'a> {
    Report { severity: Severity::Fatal, code, message, detail: "", hint }
}

fn wrong_pass() -> Report<'static> {
    fatal(
        SqlState::INVALID_PASSWORD,
        "no access: the pass is wrong or has ended, or it is not for this resource",
        "ask for access or take a new pass: daypass connect RESOURCE",
    )
}

fn no_replication() -> Report<'static> {
    fatal(
        SqlState::INSUFFICIENT_PRIVILEGE,
        "denied: replication connections are not let through",
        "use COPY or pg_dump under a role that allows copy-out",
    )
}

async fn refuse(
    node: &Node,
    stream: &mut ClientStream,
    asked: &Asked,
    holder: Option<&PassHolder>,
    because: &str,
    report: &Report<'_>,
) {
    let cut: String = asked.user.chars().take(ASKED_LEN_MAX).collect();
    let state = node.controller.state();
    let resource = state.policy().resources.contains_key(&asked.resource).then_some(&asked.resource);
    let mut fields = vec![("origin", &*asked.origin)];
    if resource.is_none_or(|resource| resource.as_str() != asked.user) {
        fields.insert(0, ("asked", &cut));
    }
    let record = activity::Refused {
        session: asked.session.as_str().into(),
        person: holder.map(|holder| holder.person.as_str().into()),
        resource: resource.map(|resource| resource.as_str().into()),
        control: state.size(),
        because: because.into(),
    };
    let subject = holder.map_or(activity::UNKNOWN, |holder| holder.person.as_str());
    let at = node.now();
    let recorded = append_sealed(node, Lane::Outcome, subject, &fields, |seq, out| {
        record.encode(at, seq, None::<&()>, out);
    });
    if let Err(error) = recorded {
        tracing::error!(%error, session = %asked.session, "a refusal could not be recorded");
    }
    farewell(stream, report).await;
}

/// Runs a seated session to its end and records that.
async fn run(node: &Arc<Node>, shared: Arc<Shared>, open: Open) {
    let (seat, began) = (Arc::clone(&open.seat), node.now());
    let opened = tokio::select! {
        opened = open_session(node, open, shared) => opened,
        reason = access_ends(node, &seat) => Err(reason),
    };
    let (reason, counts) = match opened {
        Ok(pump) => pump.run().await,
        Err(reason) => (reason, daypass_pg::session::Counts::default()),
    };
    node.registry.leave(&seat);
    let now = node.now();
    let record = activity::SessionClosed {
        session: seat.session.as_str().into(),
        person: seat.holder.person.as_str().into(),
        resource: seat.holder.resource.as_str().into(),
        grant: seat.holder.grant.as_str().into(),
        because: reason.name().into(),
        actions: counts.actions,
        bytes: counts.shown_len,
        took_us: now.0.saturating_sub(began.0),
    };
    if let Err(error) = node.append(Lane::Outcome, None, |seq, out| record.encode(now, seq, None::<&()>, out))
    {
        tracing::error!(%error, session = %seat.session, "the end of a session could not be recorded");
    }
}

/// Ends when the access of a session does that is not yet open: its target or its client may be stuck. I4.
async fn access_ends(node: &Node, seat: &Seat) -> EndReason {
    loop {
        if let Some(reason) = seat.told_to_end() {
            return reason;
        }
        if seat.view().ends <= node.now() {
            return EndReason::GrantEnded;
        }
        tokio::time::sleep(OPENING_LOOK).await;
    }
}

/// How often a session that is not yet open looks whether it still may be.
const OPENING_LOOK: Duration = Duration::from_millis(200);

/// Records the session, reaches the target, welcomes the client.
async fn open_session(node: &Arc<Node>, open: Open, shared: Arc<Shared>) -> Result<Pump, EndReason> {
    let Open { mut hello, seat, entitlement, way, parameters } = open;
    let opened = record_opened(node, &seat, &hello, &entitlement);
    let durable = match opened {
        Ok(index) => node.journal.until_covered(index).await.is_ok(),
        Err(error) => {
            tracing::error!(%error, session = %seat.session, "a session could not be recorded");
            false
        }
    };
    let sealer = sealing::sealer(&node.vault, seat.holder.person.as_str()).ok();
    let (true, Some(sealer)) = (durable, sealer) else {
        farewell(&mut hello.stream, &crate::words::audit_unavailable()).await;
        return Err(EndReason::AuditUnavailable);
    };
    let upstream = match way.connect(node, parameters).await {
        Ok(upstream) => upstream,
        Err(failure) => {
            unreachable_target(&mut hello.stream, &seat, &failure).await;
            return Err(EndReason::Upstream);
        }
    };
    let backend = upstream.welcome.key.as_ref().map_or(0, |key| key.process);
    let from = upstream.stream.tcp().and_then(|tcp| tcp.local_addr().ok()).map(|addr| addr.to_string());
    let record = activity::TargetReached {
        session: seat.session.as_str().into(),
        backend: i64::from(backend),
        from: from.unwrap_or_default().into(),
        credential: (&*way.credential).into(),
    };
    let at = node.now();
    if node.append(Lane::Intent, None, |seq, out| record.encode(at, seq, None::<&()>, out)).is_err() {
        farewell(&mut hello.stream, &crate::words::audit_unavailable()).await;
        return Err(EndReason::AuditUnavailable);
    }
    let Upstream { stream, welcome, .. } = upstream;
    let greeting = greeting(&welcome.parameters, &seat);
    if hello.stream.write_all(&greeting).await.is_err() || hello.stream.flush().await.is_err() {
        return Err(EndReason::Client);
    }
    seat.is_open(backend);
    let mut dialect = Dialect::default();
    for (name, value) in &welcome.parameters {
        dialect.announced(name, value);
    }
    let session = Session::new(seat.holder.resource.clone(), node.gate, dialect);
    let recorder = SessionRecorder::new(Arc::clone(node), Arc::clone(&seat), sealer);
    let sides = (hello.stream, stream);
    Ok(Pump::new(Arc::clone(node), seat, sides, session, recorder, entitlement, shared, (way, welcome.key)))
}

fn record_opened(node: &Node, seat: &Seat, hello: &Hello, entitlement: &Entitlement) -> Result<u64, Untaken> {
    let at = node.now();
    let client = hello.parameters.iter().rev().find(|(name, _)| name == b"application_name");
    let client = client
        .map(|(_, value)| String::from_utf8_lossy(value).chars().take(ASKED_LEN_MAX).collect::<String>());
    let mut fields = vec![("origin", &*seat.origin)];
    if let Some(client) = client.as_deref().filter(|client| !client.is_empty()) {
        fields.insert(0, ("client", client));
    }
    let record = activity::SessionOpened {
        session: seat.session.as_str().into(),
        person: seat.holder.person.as_str().into(),
        resource: seat.holder.resource.as_str().into(),
        role: seat.holder.role.as_str().into(),
        grant: seat.holder.grant.as_str().into(),
        pass: seat.holder.pass.as_str().into(),
        control: entitlement.control_size,
        ends: entitlement.deadline(at).unwrap_or(Micros(0)),
        protocol: format!("postgres/{}.{}", hello.version.major, hello.version.minor).into(),
    };
    append_sealed(node, Lane::Intent, seat.holder.person.as_str(), &fields, |seq, out| {
        record.encode(at, seq, None::<&()>, out);
    })
}

/// What the client gets at the end of its login: the target's settings, and our own key to cancel with.
fn greeting(parameters: &[(Vec<u8>, Vec<u8>)], seat: &Seat) -> BytesMut {
    let mut out = BytesMut::with_capacity(1024);
    write::authentication_ok(&mut out);
    for (name, value) in parameters {
        write::parameter_status(&mut out, name, value);
    }
    write::backend_key_data(&mut out, &seat.key);
    write::ready_for_query(&mut out, Transaction::Idle);
    out
}

async fn unreachable_target(stream: &mut ClientStream, seat: &Seat, failure: &Unreached) {
    tracing::warn!(session = %seat.session, resource = %seat.holder.resource, %failure, "target not reached");
    let message = format!("the target of `{}` cannot be reached", seat.holder.resource);
    let hint = "try again; if it stays so, tell whoever runs the gateway: its log says why";
    farewell(stream, &fatal(failure.code(), &message, hint)).await;
}

/// Says why there will be no session. The client may be gone or stuck: nothing depends on it.
async fn farewell(stream: &mut ClientStream, report: &Report<'_>) {
    drop(tokio::time::timeout(LAST_WORDS, front::tell(stream, report)).await);
}

/// How long a client that is not reading gets to take its last words.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(300);

/// Longest text of a client that an opening or a refusal keeps, in characters.
const ASKED_LEN_MAX: usize = 128;
