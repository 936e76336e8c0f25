//! Who waits for which size: at most one wake per waker and batch, in memory bounded by the number of wakers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// Wakers waiting for a growing size to pass their index.
#[derive(Debug, Default)]
pub(crate) struct WakeList {
    waiting: Mutex<HashMap<WakerKey, Waiting>>,
}

/// The identity of a waker. It cannot be reused while a clone of the waker is held.
type WakerKey = (usize, usize);

#[derive(Debug)]
struct Waiting {
    waker: Waker,
    /// Lowest index it may still be waiting for.
    lowest: u64,
    /// Highest index it waits for.
    highest: u64,
}

impl WakeList {
    /// Wakes `waker` whenever the size passes an index it is registered for. A waker may also be woken by a batch in between.
    ///
    /// `size` is asked again under the lock: `true` says that `index` is already below it, and nothing is registered.
    pub(crate) fn register(&self, index: u64, waker: &Waker, size: impl Fn() -> u64) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if index < size() {
            return true;
        }
        let key = (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr());
        waiting
            .entry(key)
            .and_modify(|known| {
                known.lowest = known.lowest.min(index);
                known.highest = known.highest.max(index);
            })
            .or_insert_with(|| Waiting { waker: waker.clone(), lowest: index, highest: index });
        false
    }

    /// Wakes everybody who waits for an index below `size`, outside of the lock. `woken` is a buffer to reuse.
    pub(crate) fn wake_below(&self, size: u64, woken: &mut Vec<Waker>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, waits| {
            if waits.lowest >= size {
                return true;
            }
            woken.push(waits.waker.clone());
            waits.lowest = size;
            waits.highest >= size
        });
        drop(waiting);
        for waker in woken.drain(..) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_wake_per_waker_and_batch() {
        let (list, counter) = (WakeList::default(), Arc::new(Counter::default()));
        let waker = Waker::from(Arc::clone(&counter));
        for index in [3, 4, 9] {
            assert!(!list.register(index, &waker, || 3));
        }
        assert!(list.register(2, &waker, || 3), "already covered");
        let count = |size| {
            list.wake_below(size, &mut Vec::new());
            counter.0.load(Ordering::Relaxed)
        };
        assert_eq!(count(3), 0);
        assert_eq!(count(5), 1, "3 and 4 in one batch");
        assert_eq!(count(5), 1);
        assert_eq!(count(10), 2);
        assert_eq!(count(20), 2, "nobody is left");
        assert!(list.waiting.lock().unwrap().is_empty());
    }
}
