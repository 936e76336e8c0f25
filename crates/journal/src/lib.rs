//! Durable append to a log on disk: group commit, recovery, publishing in the tlog-tiles layout.
//!
//! [`Journal::append`] gives a record its index at once; the [`Pending`] it returns resolves to a
//! [`Receipt`](daypass_ledger::receipt::Receipt) once the batch that holds the record is on disk under a signed tree head. One
//! thread commits (`commit.rs`): it takes everything that was appended while the last sync ran, signs one head for it, writes it
//! with one write and syncs once. Another one publishes (`publish.rs`): tiles, bundles, sidecars and
//! the checkpoint; a third makes files ready (`keeper.rs`).
//!
//! Start reading in `journal.rs` (the handle), then `queue.rs` and `commit.rs` (the way of a record to disk), `format.rs` (what
//! is on disk) and `recover.rs` (what happens at start). The crate knows no product: a record is bytes and, beside it, erasable
//! bytes.
//!
//! INVARIANT: a record is acknowledged only after its sync returned and a head over it was signed and synced with it.
//! INVARIANT: an error while writing or syncing the log aborts the process; nothing is retried on a dirty page cache.

mod commit;
mod disk;
mod error;
mod format;
mod inspect;
mod journal;
mod keeper;
mod publish;
mod queue;
mod read;
mod recover;
mod segments;
mod tiles;
mod wake;
mod walk;

pub use disk::{Disk, LocalDisk};
pub use error::{AppendError, Closed, Fault, OpenError, Wrong};
pub use inspect::{Inspected, inspect};
pub use journal::{Journal, Opened, Options, Pending, Stats, Stored, TornTail};
pub use queue::{Entry, Lane, Space};
