//! Waits again and again in each way that Rust has: a program for the pods, not for people. See `programs/waits/waits.py`.

use std::io::Write as _;
use std::sync::mpsc::channel;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use tokio::time::{interval, sleep, timeout};

const PAUSE: Duration = Duration::from_millis(200);

fn tick(name: &str) {
    let now = |clock| clock_gettime(clock).map(|time| Duration::from(time).as_nanos()).unwrap_or_default();
    let line = format!("tick {name} {} {}\n", now(ClockId::CLOCK_MONOTONIC), now(ClockId::CLOCK_BOOTTIME));
    // One system call a line, whatever other threads write.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

fn repeat(name: &'static str, wait: impl Fn() + Send + 'static) {
    thread::spawn(move || {
        loop {
            wait();
            tick(name);
        }
    });
}

fn with_condition() {
    let mutex = Mutex::new(());
    let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = Condvar::new().wait_timeout_while(guard, PAUSE, |()| true);
}

fn with_channel() {
    let (_sender, receiver) = channel::<()>();
    let _ = receiver.recv_timeout(PAUSE);
}

fn main() -> Result<()> {
    repeat("sleep", || thread::sleep(PAUSE));
    repeat("park", || thread::park_timeout(PAUSE));
    repeat("condition", with_condition);
    repeat("channel", with_channel);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(with_tokio());
    Ok(())
}

async fn with_tokio() {
    tokio::spawn(async {
        loop {
            sleep(PAUSE).await;
            tick("tokio-sleep");
        }
    });
    tokio::spawn(async {
        loop {
            let _ = timeout(PAUSE, std::future::pending::<()>()).await;
            tick("tokio-timeout");
        }
    });
    let mut ticks = interval(PAUSE);
    loop {
        ticks.tick().await;
        tick("tokio-interval");
    }
}
