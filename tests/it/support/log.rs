//! The log of a test.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::{Level, subscriber::DefaultGuard};

use super::eventually;

/// The log of the test's own thread, which runs its gateway, from the creation of this value.
pub(crate) struct Log {
    written: Written,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens to lines of this level and above.
    pub(crate) fn from(level: Level) -> Self {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(level)
            .with_writer(move || writer.clone())
            .finish();
        Self { written, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Returns all of it, as it would be written.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }

    /// Returns the lines with this message.
    pub(crate) fn lines(&self, message: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["message"] == message).collect()
    }

    /// Waits for the one line with this message.
    pub(crate) async fn line(&self, message: &str) -> Value {
        eventually(async || !self.lines(message).is_empty()).await;
        let mut lines = self.lines(message);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }
}
