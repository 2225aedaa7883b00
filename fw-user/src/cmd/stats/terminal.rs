//! The terminal while something is drawn on it, and its former state.

use std::{
    env,
    io::{self, IsTerminal, Stdout},
    os::fd::AsFd,
    panic, process,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossterm::{
    cursor, execute,
    terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

use crate::error::exit_code;

/// Whether there is a terminal to draw on and to read keys from. A dumb one scrolls and nothing else (terminfo(5)).
pub(crate) fn can_draw() -> bool {
    io::stdout().is_terminal()
        && io::stdin().is_terminal()
        && env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// A terminal that is drawn on. Dropping it restores the former state.
pub(crate) struct Drawn(Terminal<CrosstermBackend<Stdout>>);

/// Whether there is a state to restore.
static IS_DRAWN: AtomicBool = AtomicBool::new(false);

impl Drawn {
    /// Start drawing on the terminal: its text is kept aside, and keys are no longer echoed.
    pub(crate) fn begin() -> io::Result<Self> {
        restore_at_panic();
        end_with_terminal();
        terminal::enable_raw_mode()?;
        IS_DRAWN.store(true, Ordering::Release);
        let drawn = Terminal::new(CrosstermBackend::new(io::stdout())).map(Self);
        let begun = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide);
        // Dropping the value restores the terminal; if there is no value, restore it here.
        match (drawn, begun) {
            (Ok(drawn), Ok(())) => Ok(drawn),
            (Err(error), _) | (_, Err(error)) => {
                restore();
                Err(error)
            }
        }
    }

    /// Clear the screen, so that everything is drawn anew.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        // Not by `Terminal::clear`: it asks for the cursor's position, and the reader of keys takes the answer.
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.0 = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    /// Draw what has changed.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(drop)
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        restore();
    }
}

/// End the process when its terminal disappears, as with a lost ssh session. This needs a separate thread: crossterm 0.29 reads a terminal that is
/// gone in a loop, on the thread that would handle SIGHUP.
fn end_with_terminal() {
    thread::spawn(|| {
        let input = io::stdin();
        // Hanging up is reported without being asked for (poll(2)).
        while poll(&mut [PollFd::new(input.as_fd(), PollFlags::empty())], PollTimeout::NONE) == Err(Errno::EINTR) {}
        process::exit(exit_code::DONE.into());
    });
}

/// Nobody is left to be told where the terminal is gone.
fn restore() {
    if IS_DRAWN.swap(false, Ordering::AcqRel) {
        let _unused = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _unused = terminal::disable_raw_mode();
    }
}

/// The message of a panic must not be lost on a screen that is about to close.
fn restore_at_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            report(panic);
        }));
    });
}
