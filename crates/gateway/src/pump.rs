//! Moves the bytes of one session, both ways, in one task; and ends it when its time is over.
//!
//! One turn reads what either side has, lets the session machine decide, record, forward and disclose, and writes what
//! came of it: one write for each direction, however many messages it holds. Nothing is spawned for a message.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use daypass_access::pipeline::Entitlement;
use daypass_access::time::Micros;
use daypass_pg::classify::Classifier;
use daypass_pg::session::{Counts, Session, Stop, Turn};
use daypass_pg::startup::CancelKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use crate::bell::Bell;
use crate::life::LAST_WORDS;
use crate::live::EndReason;
use crate::node::Node;
use crate::recorder::SessionRecorder;
use crate::seat::{Seat, Told, Verdict};
use crate::target::Way;
use crate::upstream::TargetStream;
use crate::{hold, words};

/// What the sessions of one worker share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Reads statements, and remembers what it read.
    pub(crate) grammar: Mutex<Classifier>,
    /// Tells when records are durable.
    pub(crate) bell: Bell,
}

/// The way to a person.
pub(crate) type ClientStream = TlsStream<TcpStream>;

/// Room made for a read, in bytes.
const READ_LEN: usize = 32 << 10;
/// Below this much room more is made.
const READ_LEN_MIN: usize = 4 << 10;
/// How long the target gets to say how a cancelled action of a vanished client ended.
const GONE_PATIENCE: Duration = Duration::from_secs(3);
/// The wall clock may jump: deadlines are looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// One session's bytes on their way.
pub(crate) struct Pump {
    node: Arc<Node>,
    seat: Arc<Seat>,
    client: ClientStream,
    target: TargetStream,
    session: Session,
    recorder: SessionRecorder,
    entitlement: Arc<Entitlement>,
    ends: Option<Micros>,
    shared: Arc<Shared>,
    way: (Way, Option<CancelKey>),
    timer: Pin<Box<Sleep>>,
    /// When something last happened on either side.
    active: Instant,
    /// Since when the client is gone.
    gone: Option<Instant>,
    waker: Option<Waker>,
    unflushed: Unflushed,
}

/// Where TLS holds bytes that the socket did not take yet.
#[derive(Default)]
struct Unflushed {
    client: bool,
    target: bool,
}

impl Pump {
    #[expect(clippy::too_many_arguments, reason = "called once, with everything a session has")]
    pub(crate) fn new(
        node: Arc<Node>,
        seat: Arc<Seat>,
        (client, target): (ClientStream, TargetStream),
        session: Session,
        recorder: SessionRecorder,
        entitlement: Arc<Entitlement>,
        shared: Arc<Shared>,
        way: (Way, Option<CancelKey>),
    ) -> Self {
        let ends = entitlement.deadline(node.now());
        let active = Instant::now();
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self {
            node,
            seat,
            client,
            target,
            session,
            recorder,
            entitlement,
            ends,
            shared,
            way,
            timer,
            active,
            gone: None,
            waker: None,
            unflushed: Unflushed::default(),
        }
    }

    /// Runs the session to its end; says why it ended and what it did.
    pub(crate) async fn run(mut self) -> (EndReason, Counts) {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.close(reason).await;
        (reason, self.session.counts())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.seat.wake_by(cx.waker());
        }
        loop {
            if let Some(told) = self.seat.take()
                && let Some(reason) = self.told(told)
            {
                return Poll::Ready(reason);
            }
            let read = match self.read(cx) {
                Ok(read) => read,
                Err(reason) => return Poll::Ready(reason),
            };
            if let Err(stop) = self.with_turn(Session::turn) {
                return Poll::Ready(self.stopped(stop));
            }
            // INVARIANT: I4. The timer alone would not do: a stream that never rests uses up what tokio lets a task poll.
            if self.ends.is_none_or(|ends| ends <= self.node.now()) {
                return Poll::Ready(EndReason::GrantEnded);
            }
            if let Some(held) = self.session.held_news() {
                hold::open(&self.node, &self.seat, &self.way.0, &mut self.recorder, held);
            }
            let wrote = match self.write(cx) {
                Ok(wrote) => wrote,
                Err(reason) => return Poll::Ready(reason),
            };
            if let Some(reason) = self.over() {
                return Poll::Ready(reason);
            }
            if read || wrote {
                continue;
            }
            let waits_for = self.session.waits_for();
            if waits_for.is_some_and(|index| self.shared.bell.wait(&self.node.journal, index, cx.waker())) {
                continue;
            }
            break;
        }
        self.look_at_the_time(cx)
    }

    /// Runs the machine with what it may know now.
    fn with_turn<R>(&mut self, f: impl FnOnce(&mut Session, &mut Turn<'_>) -> R) -> R {
        let mut grammar = self.shared.grammar.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turn = Turn {
            now: self.node.now(),
            covered: self.node.journal.covered(),
            entitlement: &self.entitlement,
            grammar: &mut *grammar,
            recorder: &mut self.recorder,
        };
        f(&mut self.session, &mut turn)
    }

    /// Reads from both sides; whether anything came.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, EndReason> {
        let mut came = false;
        if self.gone.is_none() && self.session.wants_client() {
            match read_into(&mut self.client, self.session.client_in(), cx) {
                Poll::Ready(Ok(0) | Err(_)) => self.client_is_gone(),
                Poll::Ready(Ok(_)) => came = true,
                Poll::Pending => {}
            }
        }
        if self.session.wants_target() {
            match read_into(&mut self.target, self.session.target_in(), cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(self.target_is_gone()),
                Poll::Ready(Ok(_)) => came = true,
                Poll::Pending => {}
            }
        }
        if came {
            self.active = Instant::now();
        }
        Ok(came)
    }

    /// Writes to both sides; whether anything went, so that there is room again.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, EndReason> {
        let outlet = self.session.outlet();
        let wrote = write_from(&mut self.target, outlet.to_target(), &mut self.unflushed.target, cx);
        let Ok(to_target) = wrote else { return Err(self.target_is_gone()) };
        outlet.wrote_target(to_target);
        if self.gone.is_some() {
            return Ok(to_target > 0);
        }
        let wrote = write_from(&mut self.client, outlet.to_person(), &mut self.unflushed.client, cx);
        let Ok(to_person) = wrote else {
            self.client_is_gone();
            return Ok(true);
        };
        outlet.wrote_person(to_person);
        if to_person > 0 {
            self.seat.shown_len.store(self.session.counts().shown_len, Ordering::Relaxed);
        }
        Ok(to_target > 0 || to_person > 0)
    }

    /// Whether the session came to its natural end.
    fn over(&mut self) -> Option<EndReason> {
        if let Some(since) = self.gone {
            let waited = Instant::now().duration_since(since) >= GONE_PATIENCE;
            return (waited || !self.session.is_running()).then_some(EndReason::Client);
        }
        let written = self.session.outlet().to_target().is_empty();
        (self.session.is_over() && written && !self.session.is_running()).then_some(EndReason::Client)
    }

    /// The client left without a word: what it started is cancelled, and how that ended is still recorded.
    fn client_is_gone(&mut self) {
        if self.gone.is_none() {
            self.gone = Some(Instant::now());
            let polite = self.session.is_over();
            self.session.client_is_gone();
            if self.session.is_running() && !polite {
                self.cancel_at_target(Vec::new());
            }
        }
    }

    fn target_is_gone(&mut self) -> EndReason {
        // What it said last is still to be shown.
        self.with_turn(Session::turn).ok();
        if self.session.is_over() || self.gone.is_some() { EndReason::Client } else { EndReason::Upstream }
    }

    fn stopped(&self, stop: Stop) -> EndReason {
        let session = &self.seat.session;
        match stop {
            Stop::Client(violation) => {
                tracing::info!(%session, %violation, "the client broke the protocol");
                EndReason::Error
            }
            Stop::Target(violation) => {
                tracing::warn!(%session, %violation, "the target broke the protocol");
                EndReason::Upstream
            }
            Stop::Unrecorded => EndReason::AuditUnavailable,
        }
    }

    /// Does what the session was told from outside.
    fn told(&mut self, told: Told) -> Option<EndReason> {
        let Told { entitlement, end, cancel, verdict } = told;
        if let Some(reason) = end {
            return Some(reason);
        }
        if let Some(entitlement) = entitlement {
            self.entitlement = entitlement;
            self.ends = self.entitlement.deadline(self.node.now());
            self.seat.ends_at(self.ends.unwrap_or_default());
            self.timer.as_mut().reset(Instant::now());
        }
        let waits_in = self.seat.hold().filter(|_| self.session.held().is_some());
        let verdict = verdict.filter(|(hold, _)| waits_in.as_ref() == Some(hold));
        let done = match verdict {
            Some((hold, Verdict::Released)) => {
                self.recorder.released = Some(hold);
                self.seat.waits_in(None);
                self.with_turn(Session::release)
            }
            Some((_, Verdict::Refused(why))) => {
                self.seat.waits_in(None);
                self.with_turn(|session, turn| session.refuse_held(Some(&why), turn))
            }
            None => Ok(()),
        };
        if let Err(stop) = done {
            return Some(self.stopped(stop));
        }
        if cancel.is_empty() { None } else { self.cancelled(cancel) }
    }

    /// The person cancelled what runs, or what is held. `asked` is dropped when that is done.
    fn cancelled(&mut self, asked: Vec<oneshot::Sender<()>>) -> Option<EndReason> {
        if self.session.held().is_some() {
            hold::dropped(&self.node, &self.seat, "cancelled");
            let done = self.with_turn(|session, turn| session.refuse_held(None, turn));
            return done.err().map(|stop| self.stopped(stop));
        }
        if self.session.is_running() {
            self.cancel_at_target(asked);
        }
        None
    }

    fn cancel_at_target(&self, asked: Vec<oneshot::Sender<()>>) {
        let (way, Some(key)) = self.way.clone() else { return };
        let (node, session) = (Arc::clone(&self.node), self.seat.session.clone());
        self.node.house.spawn(async move {
            if let Err(error) = way.cancel(&node, &key).await {
                tracing::warn!(%session, %error, "a cancel request did not reach the target");
            }
            drop(asked);
        });
    }

    /// Ends the session when its time is over; otherwise waits for the next moment to look.
    fn look_at_the_time(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let (now, at) = (self.node.now(), Instant::now());
            let Some(left) = self.ends.and_then(|ends| ends.0.checked_sub(now.0)).filter(|left| *left > 0)
            else {
                return Poll::Ready(EndReason::GrantEnded);
            };
            let mut next = LOOK_AGAIN.min(Duration::from_micros(left));
            if let Some(since) = self.gone {
                next = next.min(GONE_PATIENCE.saturating_sub(at.duration_since(since)).max(MOMENT));
                if at.duration_since(since) >= GONE_PATIENCE {
                    return Poll::Ready(EndReason::Client);
                }
            }
            let idle = at.duration_since(self.active);
            if !self.session.is_running() && self.session.held().is_none() {
                if idle >= self.node.limits.idle {
                    return Poll::Ready(EndReason::Idle);
                }
                next = next.min(self.node.limits.idle.saturating_sub(idle));
            }
            self.timer.as_mut().reset(at + next.max(MOMENT));
        }
    }

    /// Ends it: the target at once, the client with last words, the log with an outcome for everything.
    async fn close(&mut self, reason: EndReason) {
        if self.session.is_running() && self.gone.is_none() {
            self.cancel_at_target(Vec::new());
        }
        if self.session.held().is_some() {
            hold::dropped(&self.node, &self.seat, "session-ended");
        }
        let mut report = words::end(reason);
        if self.session.target_ended() {
            report = None; // The target has said it itself.
        }
        if self.with_turn(|session, turn| session.end(report.as_ref(), turn)).is_err() {
            tracing::error!(session = %self.seat.session, "an outcome could not be recorded");
        }
        let goodbye = async {
            let outlet = self.session.outlet();
            if reason == EndReason::Client {
                self.target.write_all(outlet.to_target()).await?;
            }
            self.target.shutdown().await
        };
        // A target that does not take it is left all the same.
        drop(tokio::time::timeout(LAST_WORDS, goodbye).await);
        if let Some(socket) = self.target.tcp() {
            abort_on_drop(socket);
        }
        let last_words = async {
            self.client.write_all(self.session.outlet().to_person()).await?;
            self.client.flush().await?;
            self.client.shutdown().await
        };
        if self.gone.is_some() || !matches!(tokio::time::timeout(LAST_WORDS, last_words).await, Ok(Ok(()))) {
            abort_on_drop(self.client.get_ref().0);
        }
    }
}

/// The shortest time between two looks at the clock.
const MOMENT: Duration = Duration::from_millis(1);

/// The socket closes at once when dropped, throwing away what its peer does not take.
fn abort_on_drop(socket: &TcpStream) {
    // A socket that is gone already needs no closing.
    drop(socket.set_zero_linger());
}

fn read_into(
    stream: &mut (impl AsyncRead + Unpin),
    into: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if into.capacity().saturating_sub(into.len()) < READ_LEN_MIN {
        into.reserve(READ_LEN);
    }
    // Nothing is lost when the future is dropped unfinished: it has read nothing then.
    pin!(stream.read_buf(into)).poll(cx)
}

/// Writes as much as goes now; gives how much. What TLS took and could not send yet stays `unflushed`.
fn write_from(
    stream: &mut (impl AsyncWrite + Unpin),
    from: &[u8],
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = from.get(len..).filter(|rest| !rest.is_empty()) {
        match Pin::new(&mut *stream).poll_write(cx, rest) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(wrote)) => len += wrote,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    if len > 0 || *unflushed {
        *unflushed = match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => true,
        };
    }
    Ok(len)
}
