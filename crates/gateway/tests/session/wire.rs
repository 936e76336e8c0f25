//! A client that speaks the protocol by hand, over TLS, and misbehaves when asked to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use daypass_pg::frame::{Side, first};
use daypass_pg::message::Back;
use daypass_pg::startup::{self, CancelKey, Version};
use daypass_pg::write;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::house::House;

/// One message of the other side: its type byte, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tag: char,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The SQLSTATE and message of an error or notice.
    pub(crate) fn told(&self) -> (String, String) {
        let back = Back::parse(u8::try_from(self.tag).unwrap(), &self.body).unwrap();
        let (Back::ErrorResponse(told) | Back::NoticeResponse(told)) = back else { panic!("{back:?}") };
        (told.code.as_str().to_owned(), String::from_utf8_lossy(told.message).into_owned())
    }
}

pub(crate) struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    input: BytesMut,
    pub(crate) key: Option<CancelKey>,
    pub(crate) seen: Vec<Message>,
}

pub(crate) fn tls(house: &House, direct: bool) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(house.ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    config
}

impl Wire {
    /// Connects, by TLS asked for or direct, up to before the startup packet.
    pub(crate) fn connect(house: &House, direct: bool) -> Self {
        let mut socket = TcpStream::connect(house.gateway.local_addr()).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        if !direct {
            let mut out = BytesMut::new();
            startup::ssl_request(&mut out);
            socket.write_all(&out).unwrap();
            let mut answer = [0];
            socket.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"S");
        }
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(tls(house, direct)), name).unwrap();
        Self { stream: StreamOwned::new(tls, socket), input: BytesMut::new(), key: None, seen: vec![] }
    }

    /// Logs in with a pass; everything up to the first ReadyForQuery is read.
    pub(crate) fn login(house: &House, pass: &str, version: Version) -> Self {
        let mut wire = Self::connect(house, false);
        wire.start(pass, version);
        wire.until('Z');
        wire
    }

    pub(crate) fn start(&mut self, pass: &str, version: Version) {
        self.send(|o| startup::startup_message(o, version, &[(b"user", b"orders"), (b"database", b"x")]));
        self.until('R');
        self.send(|o| write::password(o, pass.as_bytes()));
    }

    pub(crate) fn send(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        write(&mut out);
        self.stream.write_all(&out).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next message; `None` when the other side closed.
    pub(crate) fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((frame, len)) = first(Side::Back, &self.input).unwrap() {
                let message = Message { tag: char::from(frame.tag), body: frame.body.to_vec() };
                if let Ok(Back::BackendKeyData(key)) = Back::parse(frame.tag, frame.body) {
                    self.key = Some(key);
                }
                drop(self.input.split_to(len));
                self.seen.push(message.clone());
                return Some(message);
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.input.extend_from_slice(&chunk[..len]),
            }
        }
    }

    /// Reads up to a message of that type; gives the type bytes of all of them.
    #[track_caller]
    pub(crate) fn until(&mut self, tag: char) -> String {
        let mut tags = String::new();
        loop {
            let Some(message) = self.next() else { panic!("closed after `{tags}`, waiting for `{tag}`") };
            tags.push(message.tag);
            if message.tag == tag {
                return tags;
            }
        }
    }

    /// Reads to the end of the connection; gives the type bytes.
    pub(crate) fn read_to_the_end(&mut self) -> String {
        let mut tags = String::new();
        while let Some(message) = self.next() {
            tags.push(message.tag);
        }
        tags
    }

    /// Reads and forgets up to a message of that type, however long they are; gives how many bytes.
    pub(crate) fn forget_until(&mut self, tag: u8) -> u64 {
        let (mut read_len, mut left_len) = (0_u64, 0_usize);
        let mut chunk = vec![0; 65536];
        loop {
            let skipped = left_len.min(self.input.len());
            drop(self.input.split_to(skipped));
            left_len -= skipped;
            if left_len == 0
                && let Some(header) = daypass_pg::frame::header(Side::Back, &self.input).unwrap()
            {
                if header.tag == tag {
                    return read_len;
                }
                left_len = header.frame_len;
                continue;
            }
            let len = self.stream.read(&mut chunk).unwrap();
            assert!(len > 0, "closed");
            read_len += len as u64;
            self.input.extend_from_slice(&chunk[..len]);
        }
    }

    pub(crate) fn query(&mut self, text: &str) -> String {
        self.send(|o| write::query(o, text.as_bytes()));
        self.until('Z')
    }

    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        self.seen.iter().filter(|m| m.tag == 'E').map(Message::told).collect()
    }

    /// Goes away without a word.
    pub(crate) fn vanish(self) {
        self.stream.sock.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

/// Asks to cancel, as libpq does: in clear, on a connection of its own.
pub(crate) fn cancel(house: &House, key: &CancelKey) {
    let mut socket = TcpStream::connect(house.gateway.local_addr()).unwrap();
    let mut out = BytesMut::new();
    startup::cancel_request(&mut out, key);
    socket.write_all(&out).unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).ok();
}
