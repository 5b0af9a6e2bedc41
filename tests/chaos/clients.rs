//! Clients that make requests all the time, and know of each that failed whose it was.
//!
//! A request may fail for one reason only: its worker was hurt, that is, killed or made unable to answer. On a connection that
//! was used before, the worker is the one that answered there. On a new one nobody knows whose it was, so that somebody has to
//! have been hurt meanwhile.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{Connection, Target};

/// What a client rests between two requests; a pace, nothing waits for it.
const PACE: Duration = Duration::from_millis(4);

/// Who was hurt.
#[derive(Debug, Default)]
pub(crate) struct Hurt {
    pids: BTreeSet<i32>,
    /// From when on some were hurt until all were well again.
    times: Vec<(Instant, Option<Instant>)>,
}

/// A request that was not answered.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    began: Instant,
    ended: Instant,
    /// Who had answered on this connection before.
    worker: Option<i32>,
    client: String,
    error: String,
}

impl Hurt {
    /// They are hurt from now on.
    pub(crate) fn add(&mut self, pids: &[i32]) {
        self.pids.extend(pids);
        if self.times.last().is_none_or(|(_, end)| end.is_some()) {
            self.times.push((Instant::now(), None));
        }
    }

    /// All that was hurt is gone.
    pub(crate) fn is_over(&mut self) {
        if let Some((_, end @ None)) = self.times.last_mut() {
            *end = Some(Instant::now());
        }
    }

    fn explains(&self, failure: &Failure) -> bool {
        match failure.worker {
            Some(pid) => self.pids.contains(&pid),
            None => self
                .times
                .iter()
                .any(|(begin, end)| *begin <= failure.ended && end.is_none_or(|end| end >= failure.began)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, error, worker, .. } = self;
        let ago = |at: &Instant| at.elapsed().as_millis();
        let (began, ended) = (ago(&self.began), ago(&self.ended));
        match worker {
            Some(pid) => write!(f, "{client}, served by {pid}: ")?,
            None => write!(f, "{client}, on a new connection: ")?,
        }
        write!(f, "{error} (begun {began} ms ago, failed {ended} ms ago)")
    }
}

/// How a client behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) keep_alive: bool,
    pub(crate) path: &'static str,
}

/// All clients.
#[derive(Debug)]
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<Failure>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(crate) fn begin(targets: &[Target], styles: &[Style]) -> Self {
        let mut clients = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            failures: Arc::default(),
            threads: Vec::new(),
        };
        for target in targets {
            for style in styles {
                let (target, style) = (target.clone(), *style);
                let (stop, answered) = (clients.stop.clone(), clients.answered.clone());
                let failures = clients.failures.clone();
                clients
                    .threads
                    .push(std::thread::spawn(move || run(&target, style, &stop, &answered, &failures)));
            }
        }
        clients
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// The failures so far that nobody's harm explains.
    pub(crate) fn unexplained(&self, hurt: &Hurt) -> Vec<Failure> {
        let failures = self.failures.lock().expect("unpoisoned");
        failures.iter().filter(|failure| !hurt.explains(failure)).cloned().collect()
    }

    /// How many have failed, for whatever reason.
    pub(crate) fn failed(&self) -> usize {
        self.failures.lock().expect("unpoisoned").len()
    }

    /// Lets what was begun end.
    pub(crate) fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("no panic");
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(
    target: &Target,
    style: Style,
    stop: &AtomicBool,
    answered: &AtomicUsize,
    failures: &Mutex<Vec<Failure>>,
) {
    let close = if style.keep_alive { "" } else { "\r\nConnection: close" };
    let head = format!("GET {} HTTP/1.1{close}", style.path);
    let mut kept: Option<(Connection, i32)> = None;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(PACE);
        let began = Instant::now();
        let worker = kept.as_ref().map(|(_, pid)| *pid);
        let outcome = match kept.take() {
            Some((open, _)) => Ok(open),
            None => Connection::open(target),
        };
        let outcome = outcome.and_then(|mut open| Ok((open.request(&head, b"")?, open)));
        let error = match outcome {
            Ok((reply, open)) => match reply.body.parse() {
                Ok(pid) if reply.status == 200 => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    kept = (style.keep_alive && !reply.closes).then_some((open, pid));
                    continue;
                }
                Ok(_) | Err(_) => format!("{reply:?}"),
            },
            Err(error) => error.to_string(),
        };
        let client = format!("{style:?} to {target:?}");
        let failure = Failure { began, ended: Instant::now(), worker, client, error };
        failures.lock().expect("unpoisoned").push(failure);
    }
}
