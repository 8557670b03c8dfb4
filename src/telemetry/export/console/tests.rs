use std::sync::Arc;

use opentelemetry::trace::Link;

use super::*;
use crate::telemetry::export::tests::span;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_trace_is_shown_as_a_tree_when_its_root_has_ended() {
    let screen = Screen::default();
    let console = Console::to(screen.clone());
    let (mut batch, call) = (span(0xb, 3, 0, "embeddings voyage-4"), span(0xb, 4, 3, "POST"));
    batch.links.links.push(Link::new(span(0xa, 1, 0, "").span_context, Vec::new(), 0));
    console.spans(&[span(0xa, 2, 1, "wait"), call]);
    assert_eq!(screen.text(), "");
    console.spans(&[batch, span(0xa, 5, 1, "reply"), span(0xa, 1, 0, "Embed")]);
    let wanted = "\
trace 0000000000000000000000000000000a
└─ Embed  1.500 ms  server  rpc.method=Embed
   ├─ wait  1.500 ms  server  rpc.method=Embed
   └─ reply  1.500 ms  server  rpc.method=Embed

trace 0000000000000000000000000000000b
└─ embeddings voyage-4  1.500 ms  server  rpc.method=Embed
   → linked to Embed (0000000000000001) of trace 0000000000000000000000000000000a
   └─ POST  1.500 ms  server  rpc.method=Embed

";
    assert_eq!(screen.text(), wanted);
}

#[test]
fn what_has_no_root_is_shown_at_the_end() {
    let screen = Screen::default();
    let console = Console::to(screen.clone());
    console.spans(&[span(0xa, 2, 1, "wait")]);
    assert_eq!(screen.text(), "");
    console.finish();
    assert!(screen.text().contains("└─ wait "), "{}", screen.text());
}

#[test]
fn nothing_steers_the_terminal() {
    let screen = Screen::default();
    let mut steering = span(0xa, 1, 0, "Embed");
    steering.attributes = vec![opentelemetry::KeyValue::new("x", "\u{1b}[2J".repeat(90))];
    Console::to(screen.clone()).spans(&[steering]);
    assert!(!screen.text().contains('\u{1b}'));
    assert!(screen.text().trim_end().ends_with('…'));
}
