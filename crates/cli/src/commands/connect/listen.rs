//! `daypass connect --listen`: a loopback port for any tool, and one key, `e`, that extends.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::super::Context;
use super::super::grants::extended_words;
use super::keeper::{Happened, Kept, warning};
use crate::client::segment;
use crate::relay::{self, Route};
use crate::report::report;
use crate::trouble::Trouble;
use crate::{out, random, when};

pub(super) async fn listen(c: &Context, mut route: Route, mut kept: Kept, port: u16) -> Result<(), Trouble> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| {
        Trouble::input(
            format!("cannot open port {port} on this machine: {}", error.to_string().to_lowercase()),
            "choose another with `--port`, or let `--listen` take a free one",
        )
    })?;
    let address = listener.local_addr()?;
    // SECURITY: every user of this machine can reach the port, so it asks for a password of its own. It is not the
    // pass: it opens nothing but this port, and nothing once this command has ended.
    let password = random::hex(16);
    let url = format!(
        "postgresql://{}:{password}@{address}/{}?sslmode=disable",
        segment(&route.user),
        segment(&route.database)
    );
    route.local_password = Some(Arc::new(Zeroizing::new(password)));
    if c.out.is_json() {
        c.out.json_line(&json!({"url": url, "port": address.port(), "ends_at": kept.grant().ends_at}))?;
    } else {
        c.out.line(&url)?;
    }
    let keys = Keys::start();
    if keys.is_some() {
        say("any tool of yours can use this address while this command runs; e extends, q ends");
    }
    serve(c, listener, route, &mut kept, keys).await
}

async fn serve(
    c: &Context,
    listener: TcpListener,
    route: Route,
    kept: &mut Kept,
    mut keys: Option<Keys>,
) -> Result<(), Trouble> {
    let mut ends = signal(SignalKind::terminate())?;
    let mut interrupts = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (local, _) = accepted?;
                let session = relay::session(local, route.clone());
                tokio::spawn(async move {
                    if let Err(error) = session.await {
                        tracing::debug!(%error, "a local connection ended");
                    }
                });
            }
            happened = kept.next() => match happened {
                Happened::Over => {
                    say("your access has ended");
                    return Ok(());
                }
                Happened::Warn { left_s, ends_at } => {
                    let words = warning(&c.out, left_s, ends_at, "press e to extend");
                    kept.tell(&format!("daypass: {words}"));
                    out::set_title(&words);
                    say(&format!("\u{7}{words}"));
                }
                Happened::Extended { ends_at } => say(&format!("your access goes on until {}", c.out.clock(ends_at))),
            },
            key = Keys::next(&mut keys) => match key {
                Key::Extend => match kept.extend().await {
                    Ok(extended) => say(&extended_words(c, &extended)),
                    Err(trouble) => say(report(&trouble).to_string().trim_end()),
                },
                Key::Quit => return Ok(()),
                Key::Other => say(&format!(
                    "{} left; e extends, q ends",
                    when::span(kept.grant().ends_at.saturating_sub(when::now()) / 1_000_000)
                )),
            },
            _ = ends.recv() => return Ok(()),
            _ = interrupts.recv() => return Ok(()),
        }
    }
}

/// Prints a line on a terminal that may be in raw mode.
fn say(words: &str) {
    // Nothing is lost but words when nobody reads them.
    drop(write!(stderr(), "{}\r\n", words.replace('\n', "\r\n")));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Extend,
    Quit,
    Other,
}

/// Single keys from the terminal; dropped, the terminal is as before.
#[derive(Debug)]
struct Keys(mpsc::Receiver<Key>);

impl Keys {
    /// `None` when there is no terminal.
    fn start() -> Option<Self> {
        if !stdin().is_terminal() || !stderr().is_terminal() || terminal::enable_raw_mode().is_err() {
            return None;
        }
        let (send, receive) = mpsc::channel(8);
        std::thread::spawn(move || {
            while !send.is_closed() {
                let there = event::poll(Duration::from_millis(200)).unwrap_or(false);
                if let Some(key) = there.then(event::read).and_then(Result::ok).and_then(|event| key(&event))
                    && send.blocking_send(key).is_err()
                {
                    return;
                }
            }
        });
        Some(Self(receive))
    }

    /// The next key; never, when there is no terminal.
    async fn next(keys: &mut Option<Self>) -> Key {
        match keys {
            Some(keys) => match keys.0.recv().await {
                Some(key) => key,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        drop(terminal::disable_raw_mode());
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return None };
    let control = modifiers.contains(KeyModifiers::CONTROL);
    let KeyCode::Char(character) = code else { return Some(Key::Other) };
    Some(match character {
        'e' => Key::Extend,
        'q' => Key::Quit,
        'c' | 'd' if control => Key::Quit,
        _ => Key::Other,
    })
}
