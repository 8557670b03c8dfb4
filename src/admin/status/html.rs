//! HTML that nothing from outside can get into: what is not written in this program is escaped.

/// HTML under way.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Writes markup: `'static`, so that only the program's own is.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Writes text, as it may also stand in an attribute's quotes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Not even invisible characters, nor those that turn a line around, may pretend to be something else.
                c if c.is_control() || is_directional(c) => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Tells whether a character changes the direction of those beside it.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
