//! An iterator run on a thread of its own, one item ahead of its consumer: the next data are read while these are trained on.

use std::sync::mpsc::{IntoIter, sync_channel};
use std::thread::Scope;

/// Runs `items` on another thread, in order, one ahead: while an item is in use, the next is made; the one after it is not begun. An
/// iterator that is dropped ends the thread after the item that it is at. A panic in `items` is the scope's.
pub fn prefetch<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    items: impl Iterator<Item = T> + Send + 'scope,
) -> IntoIter<T> {
    // No room in the channel: the thread holds the item until it is taken.
    let (send, receive) = sync_channel(0);
    scope.spawn(move || {
        for item in items {
            if send.send(item).is_err() {
                return;
            }
        }
    });
    receive.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::scope;

    #[test]
    fn items_come_in_order_and_no_more_than_one_ahead() {
        let made = AtomicUsize::new(0);
        scope(|s| {
            let items = prefetch(
                s,
                (0..100).inspect(|_| {
                    made.fetch_add(1, Ordering::SeqCst);
                }),
            );
            for (i, item) in items.enumerate() {
                assert_eq!(i, item);
                // This one, and at most the next.
                assert!(made.load(Ordering::SeqCst) <= i + 2);
            }
        });
        assert_eq!(made.into_inner(), 100);
    }

    #[test]
    fn who_stops_taking_is_not_waited_for() {
        scope(|s| assert_eq!(prefetch(s, 0..).take(3).collect::<Vec<_>>(), [0, 1, 2]));
    }

    #[test]
    #[should_panic = "a scoped thread panicked"]
    fn a_panic_is_not_swallowed() {
        scope(|s| prefetch(s, (0..3).map(|i| assert!(i < 2))).for_each(drop));
    }
}
