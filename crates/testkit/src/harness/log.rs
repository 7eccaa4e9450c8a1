//! Log of the program during a test, at the finest level.

use std::io;
use std::sync::{Arc, Mutex, Once};

use casebridge::clock::SharedClock;
use casebridge::telemetry::{CloudLogging, LogSource, is_loggable};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::{dynamic_filter_fn, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

/// Log of a test's thread, as JSON and as text.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Captures the log of this thread until the guard is dropped.
    pub fn capture(&self, clock: SharedClock) -> DefaultGuard {
        keep_every_callsite();
        let source = LogSource::from_environment(|_| None);
        let json = CloudLogging::new(source, clock, self.clone()).with_filter(filter_fn(is_loggable));
        let text = fmt::layer().with_writer(self.clone()).with_filter(filter_fn(is_loggable));
        tracing::subscriber::set_default(registry().with(json).with(text))
    }
}

/// Keeps all callsites enabled. With a subscriber on one thread only, `tracing` disables a callsite for the whole process if another
/// thread reaches it first. A subscriber for all threads with a dynamic filter prevents that.
fn keep_every_callsite() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| registry().with(fmt::layer().with_filter(dynamic_filter_fn(|_, _| false))).init());
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
