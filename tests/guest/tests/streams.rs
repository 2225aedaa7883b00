//! What each mode costs on the driver of a real network card.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fw_guest::cards::Cards;
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, has_tcx, wait},
    tests,
};

tests! {
    a_stream_arrives_whole_in_every_mode_and_its_time_is_noted;
}

/// Odd, for the median.
const ROUNDS: usize = 3;
static BLOCK: [u8; 1 << 16] = [b'x'; 1 << 16];
/// 4 MiB.
const BLOCKS: usize = 64;

/// A speed is no condition, least of all on an emulated processor: the quotients are for people to read.
fn a_stream_arrives_whole_in_every_mode_and_its_time_is_noted() -> Result<()> {
    let cards = Cards::take()?;
    let lab = cards.lab()?;
    lab.pi.open_input()?;
    lab.pi.run("ip link set eth0 up")?;
    wait::until("the cable to work", || Ok(lab.pi.ping(LAN4).ok()))?;
    let mut modes = vec![None, Some(Mode::Generic)];
    modes.extend(has_tcx()?.then_some(Some(Mode::Tc)));
    modes.extend(cards.have_native_mode().then_some(Some(Mode::Native)));
    let mut times = vec![Vec::new(); modes.len()];
    for _ in 0..ROUNDS {
        for (mode, times) in modes.iter().zip(&mut times) {
            if let Some(mode) = mode {
                lab.attach(*mode, "8080")?;
                wait::until("the cable to work", || Ok(lab.pi.ping(LAN4).ok()))?;
            }
            times.push(stream(&lab)?);
            if mode.is_some() {
                lab.fw(&["detach", "eth0"])?;
                wait::until("the cable to work", || Ok(lab.pi.ping(LAN4).ok()))?;
            }
        }
    }
    let medians: Vec<f64> = times
        .into_iter()
        .map(|mut times| {
            times.sort_unstable();
            times[ROUNDS / 2].as_secs_f64()
        })
        .collect();
    for (mode, time) in modes.iter().zip(&medians).skip(1) {
        let mode = mode.map(|mode| mode.to_string()).unwrap_or_default();
        println!("noted: {}, {mode} mode: {:.2} of the rate without a filter", cards.driver(), medians[0] / time);
    }
    Ok(())
}

/// How long the LAN takes to bring its bytes to the Pi.
fn stream(lab: &Lab) -> Result<Duration> {
    let listener = lab.pi.enter(|| TcpListener::bind((PI4, 8080)))?;
    thread::scope(|scope| {
        let receiver = scope.spawn(move || -> Result<usize> {
            let (mut connection, _) = listener.accept()?;
            let mut received = 0;
            let mut buffer = BLOCK;
            loop {
                match connection.read(&mut buffer)? {
                    0 => return Ok(received),
                    bytes => received += bytes,
                }
            }
        });
        let begun = Instant::now();
        let mut connection = lab.lan.enter(|| TcpStream::connect((PI4, 8080)))?;
        for _ in 0..BLOCKS {
            connection.write_all(&BLOCK)?;
        }
        connection.shutdown(Shutdown::Write)?;
        let received = receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let time = begun.elapsed();
        ensure!(received == BLOCKS * BLOCK.len(), "{received} bytes arrive");
        Ok(time)
    })
}
