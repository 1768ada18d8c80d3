//! A screen and a keyboard for one program: a line being edited stays
//! undisturbed while others appear above it. Where standard input or output is
//! no terminal both are plain lines.

use std::io::{self, BufRead, IsTerminal, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::screen::{Screen, Sink};
use crate::terminal::TerminalModes;
use crate::text;

/// The console of the program. [`close`](Self::close) it before the program
/// ends: that shows what is still to be shown and puts the terminal in order.
pub struct Console {
    /// Where lines are shown.
    screen: Screen,
    /// The thread that writes them.
    writer: JoinHandle<()>,
    /// The line editor, until the keyboard is listened to.
    editor: Option<DefaultEditor>,
    /// How the terminal was before anything was edited.
    modes: Option<TerminalModes>,
    /// Whether there is a terminal to edit lines on.
    interactive: bool,
    /// Whether the editor has the terminal just now.
    editing: Arc<AtomicBool>,
}

impl Console {
    /// Opens the console. Nothing is read before [`listen`](Self::listen).
    pub fn open() -> io::Result<Self> {
        let (sink, editor) = match open_editor() {
            Some((sink, editor)) => (sink, Some(editor)),
            None => (Sink::Plain, None),
        };
        let interactive = editor.is_some();
        let modes = if interactive {
            TerminalModes::save()
        } else {
            None
        };
        let (screen, writer) = Screen::start(sink)?;
        Ok(Self {
            screen,
            writer,
            editor,
            modes,
            interactive,
            editing: Arc::default(),
        })
    }

    /// Where lines are shown.
    pub fn screen(&self) -> Screen {
        self.screen.clone()
    }

    /// Whether a person edits lines here, rather than a pipe bringing them.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Starts the thread that reads the keyboard and hands on what was typed,
    /// until `on_input` breaks off or nothing more can come. To be called once.
    pub fn listen(
        &mut self,
        on_input: impl FnMut(Input) -> ControlFlow<()> + Send + 'static,
    ) -> io::Result<()> {
        let keyboard = thread::Builder::new().name("keyboard".into());
        match self.editor.take() {
            Some(editor) => {
                let editing = Arc::clone(&self.editing);
                keyboard.spawn(move || read_terminal(editor, &editing, on_input))?;
            }
            None => {
                keyboard.spawn(move || read_lines(io::stdin().lock(), on_input))?;
            }
        }
        Ok(())
    }

    /// Shows what waits to be shown, and gives the terminal back as it was: a
    /// thread that edits a line cannot be asked to stop, it ends with the
    /// program.
    pub fn close(self) {
        self.screen.finish();
        if self.writer.join().is_err() {
            log::warn!("the screen's thread has panicked");
        }
        if self.editing.load(Ordering::SeqCst) {
            if let Some(modes) = self.modes {
                modes.restore();
            }
        }
    }
}

/// What comes from a keyboard.
pub enum Input {
    /// A line, cleaned, without its end.
    Line(String),
    /// The end of the input, or Ctrl-D: nothing more will come.
    Closed,
    /// Ctrl-C typed while a line was edited, where it is a key and no signal.
    Interrupted,
}

/// Gives an editor, and a sink that writes above its line, if there is a
/// terminal that can do it.
fn open_editor() -> Option<(Sink, DefaultEditor)> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return None;
    }
    let config = rustyline::Config::builder().auto_add_history(true).build();
    let mut editor = DefaultEditor::with_config(config).ok()?;
    let printer = editor.create_external_printer().ok()?;
    Some((Sink::Above(Box::new(printer)), editor))
}

/// Reads edited lines. The editor is dropped at the end, which frees whoever
/// waits to print above its line.
fn read_terminal(
    mut editor: DefaultEditor,
    editing: &AtomicBool,
    mut on_input: impl FnMut(Input) -> ControlFlow<()>,
) {
    loop {
        editing.store(true, Ordering::SeqCst);
        let line = editor.readline(PROMPT);
        editing.store(false, Ordering::SeqCst);
        let last = match line {
            Ok(lines) => {
                // What was pasted may be several.
                for line in lines.split('\n') {
                    if on_input(Input::Line(text::clean(line))).is_break() {
                        return;
                    }
                }
                continue;
            }
            Err(ReadlineError::Interrupted) => Input::Interrupted,
            Err(ReadlineError::Eof) => Input::Closed,
            Err(error) => {
                log::warn!("the keyboard cannot be read: {error}");
                Input::Closed
            }
        };
        let _ = on_input(last);
        return;
    }
}

/// Reads plain lines.
fn read_lines(mut lines: impl BufRead, mut on_input: impl FnMut(Input) -> ControlFlow<()>) {
    loop {
        let mut line = Vec::new();
        match lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {
                if on_input(Input::Line(text::decode(&line))).is_break() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                log::warn!("standard input cannot be read: {error}");
                break;
            }
        }
    }
    let _ = on_input(Input::Closed);
}

/// Shown before the line that is being edited.
const PROMPT: &str = ">>>:";

/// The most bytes read as one line; the next ones count as another.
const MAX_LINE: u64 = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` as standard input; a closed input is written as `None`.
    fn inputs(bytes: &[u8]) -> Vec<Option<String>> {
        let mut seen = Vec::new();
        read_lines(bytes, |input| {
            seen.push(match input {
                Input::Line(line) => Some(line),
                Input::Closed | Input::Interrupted => None,
            });
            ControlFlow::Continue(())
        });
        seen
    }

    #[test]
    fn lines_come_one_by_one_and_then_the_end() {
        let some = |line: &str| Some(line.to_owned());
        assert_eq!(
            inputs(b"a\n\n\xe4\xbd\xa0\r\nb"),
            [some("a"), some(""), some("你"), some("b"), None]
        );
        assert_eq!(inputs(b""), [None]);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let lines = inputs(&vec![b'x'; 20_000]);
        assert!(
            lines
                .iter()
                .flatten()
                .all(|line| line.len() as u64 <= MAX_LINE)
        );
        assert_eq!(
            lines.iter().flatten().map(String::len).sum::<usize>(),
            20_000
        );
    }

    #[test]
    fn breaking_off_ends_the_reading() {
        let mut count = 0;
        read_lines(&b"a\nb\n"[..], |_| {
            count += 1;
            ControlFlow::Break(())
        });
        assert_eq!(count, 1);
    }
}
