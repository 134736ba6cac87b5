//! What the terminal shows: short lines of ASCII, coloured only where somebody can see it.

use std::{
    ffi::OsStr,
    fmt::{self, Display},
    io::Write,
};

const BOLD: &str = "1";
const GREEN: &str = "32";
const DIM: &str = "2";

/// Where the story is told.
pub struct Show {
    out: Box<dyn Write + Send>,
    colour: bool,
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Show").field("colour", &self.colour).finish_non_exhaustive()
    }
}

/// Whether to colour: a terminal, and nobody who asks for none (`NO_COLOR` with any value but an empty one).
#[must_use]
pub fn wants_colour(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

impl Show {
    /// Tells the story to `out`.
    pub fn new(out: impl Write + Send + 'static, colour: bool) -> Self {
        Self { out: Box::new(out), colour }
    }

    /// A heading without a number.
    pub fn title(&mut self, text: impl Display) {
        let text = self.paint(BOLD, text);
        self.line(text);
    }

    /// The heading of a step.
    pub fn step(&mut self, number: u32, title: &str) {
        let text = self.paint(BOLD, format_args!("{number}. {title}"));
        self.line(format_args!("\n{text}"));
    }

    /// A sentence.
    pub fn say(&mut self, text: impl Display) {
        self.line(format_args!("   {text}"));
    }

    /// A fact with its name.
    pub fn fact(&mut self, name: &str, text: impl Display) {
        self.line(format_args!("     {name:<11} {text}"));
    }

    /// Something to copy into another terminal.
    pub fn command(&mut self, text: impl Display) {
        let text = self.paint(DIM, text);
        self.line(format_args!("     {text}"));
    }

    /// A claim that was checked.
    pub fn holds(&mut self, text: impl Display) {
        let ok = self.paint(GREEN, "ok");
        self.line(format_args!("   {ok}  {text}"));
    }

    fn paint(&self, code: &str, text: impl Display) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    fn line(&mut self, text: impl Display) {
        // A reader who has left (`| head`) must not end the story before everything is stopped.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        for (is_terminal, no_color, expected) in
            [(true, None, true), (false, None, false), (true, Some("1"), false), (true, Some(""), true)]
        {
            assert_eq!(wants_colour(is_terminal, no_color.map(OsStr::new)), expected, "{is_terminal} {no_color:?}");
        }
    }
}
