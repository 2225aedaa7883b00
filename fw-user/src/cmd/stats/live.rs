//! The live screen: reads counters and keys until the user quits.

use std::{io, time::Duration};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cmd::{
        signals::every,
        stats::{
            names,
            screen::{
                look::Look,
                model::{Model, ScreenCommand},
                view,
            },
            terminal::Drawn,
            watch::Watch,
        },
    },
    error::Result,
    kernel::pins::Pins,
    policy_text,
};

/// The meaning of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Quit,
    Do(ScreenCommand),
}

pub(crate) async fn run(pins: &Pins, named: &[String], interval: Duration) -> Result<()> {
    let look = Look::new(|name| std::env::var(name).ok());
    let mut model = Model::new(policy_text::service_names());
    let mut watch = Watch::new(pins, named);
    // Errors before the first screen are printed where they stay readable.
    model.update(&watch.read()?);
    let mut ends = End::new()?;
    let mut terminal = Drawn::begin()?;
    let mut events = EventStream::new();
    let mut names = names::follow()?;
    let mut ticks = every(interval);
    ticks.reset();
    loop {
        terminal.draw(|frame| view::draw(frame, &model, look))?;
        tokio::select! {
            _ = ticks.tick() => {
                // What is noted about it stands on the screen.
                if watch.follow()? {
                    terminal.clear()?;
                }
                model.update(&watch.read()?);
            }
            event = events.next() => match event.transpose()? {
                Some(Event::Key(event)) => match key(event) {
                    Some(Key::Quit) => return Ok(()),
                    Some(Key::Do(command)) => model.obey(command),
                    None => {}
                },
                // The size is read whenever something is drawn.
                Some(_) => {}
                // The terminal is gone.
                None => return Ok(()),
            },
            Some(names) = names.recv() => model.name_targets(names),
            () = ends.comes() => return Ok(()),
        }
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        KeyCode::Char('c') if event.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('s') => Key::Do(ScreenCommand::Sort),
        KeyCode::Char('p' | ' ') => Key::Do(ScreenCommand::Pause),
        KeyCode::Tab | KeyCode::Right | KeyCode::Down => Key::Do(ScreenCommand::NextInterface),
        KeyCode::BackTab | KeyCode::Left | KeyCode::Up => Key::Do(ScreenCommand::PreviousInterface),
        KeyCode::Char('?' | 'h') => Key::Do(ScreenCommand::Help),
        _ => return None,
    })
}

/// The signals that end it and restore the terminal.
struct End([tokio::signal::unix::Signal; 3]);

impl End {
    fn new() -> io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn comes(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
