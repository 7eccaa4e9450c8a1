//! No panic goes unseen: the service answers 500 after one, and a task of its own that panics takes nobody with it.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, Once, PoisonError};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on, notes every panic but those of the tests themselves and of the sandboxes, which play the other side.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if is_ours(panic) {
                SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
            }
            usual(panic);
        }));
    });
}

fn is_ours(panic: &PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|at| {
        let file = at.file();
        !file.starts_with("tests/") && !file.starts_with("crates/sandbox/") && !file.contains("/proptest-")
    })
}

/// Fails if the program panicked since [`watch`].
pub(crate) fn assert_none() {
    // Each panic fails one test: the others have their own.
    let seen = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(seen.is_empty(), "{seen:#?}");
}
