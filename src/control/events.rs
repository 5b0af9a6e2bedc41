//! `GET /v1/events`: the log's events as server-sent events, from now on.
//!
//! Invariants: whoever reads slowly misses events and is told how many, and nobody else waits; what is kept for a reader has a
//! bound.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::schema::{Lost, SCHEMA};

/// Log lines as JSON objects, each with a line feed, as they are logged.
pub type Lines = broadcast::Receiver<Arc<str>>;

/// A reader that gets nothing else gets a sign of life: so that both sides notice when the other is gone.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How many chunks may wait for a reader that has not read the last. What waits beyond that is in the ring of lines, which
/// has a bound of its own.
const CHUNKS: usize = 1;

/// The chunks of a body that tells what is logged, until the reader is gone or luster ends.
pub(super) fn stream(lines: Lines, ended: watch::Receiver<bool>) -> mpsc::Receiver<Bytes> {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    tokio::task::spawn_local(tell(lines, ended, sender));
    chunks
}

async fn tell(mut lines: Lines, mut ended: watch::Receiver<bool>, chunks: mpsc::Sender<Bytes>) {
    // The head of the answer goes out with the first bytes: whoever has them knows that nothing is missed from here on.
    if chunks.send(Bytes::from_static(b": events\n\n")).await.is_err() {
        return;
    }
    let mut alive = Instant::now() + SIGN_OF_LIFE;
    loop {
        let chunk = tokio::select! {
            biased;
            // Reads nothing more, as a client that has gone away.
            () = chunks.closed() => return,
            line = lines.recv() => match line {
                Ok(line) => event(&line),
                Err(RecvError::Lagged(lost)) => Some(told_lost(lost)),
                Err(RecvError::Closed) => return,
            },
            _ = ended.wait_for(|ended| *ended) => {
                drain(&mut lines, &chunks).await;
                return;
            }
            () = sleep_until(alive) => Some(Bytes::from_static(b":\n\n")),
        };
        alive = Instant::now() + SIGN_OF_LIFE;
        if let Some(chunk) = chunk
            && chunks.send(chunk).await.is_err()
        {
            return;
        }
    }
}

/// The last events, which nobody is to miss.
async fn drain(lines: &mut Lines, chunks: &mpsc::Sender<Bytes>) {
    loop {
        let chunk = match lines.try_recv() {
            Ok(line) => event(&line),
            Err(TryRecvError::Lagged(lost)) => Some(told_lost(lost)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        };
        if let Some(chunk) = chunk
            && chunks.send(chunk).await.is_err()
        {
            return;
        }
    }
}

/// A log line as an event of its own name. JSON has no line feeds but in its words, where they are escaped.
fn event(line: &str) -> Option<Bytes> {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        event: Option<&'a str>,
    }
    let line = line.trim_end();
    let object: &RawValue = serde_json::from_str(line).ok()?;
    let name = serde_json::from_str::<Named<'_>>(line).ok().and_then(|named| named.event).unwrap_or("log");
    Some(format!("event: {name}\ndata: {object}\n\n").into())
}

fn told_lost(lost: u64) -> Bytes {
    let data = serde_json::to_string(&Lost { schema: SCHEMA, lost }).unwrap_or_default();
    format!("event: lost\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_an_event_of_its_name() {
        let line = "{\"level\":\"INFO\",\"event\":\"ready\",\"message\":\"a\\nb\"}\n";
        let told = event(line).expect("an event");
        assert_eq!(
            told,
            "event: ready\ndata: {\"level\":\"INFO\",\"event\":\"ready\",\"message\":\"a\\nb\"}\n\n"
        );
        assert_eq!(event("no JSON"), None);
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_lost_and_reads_on() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        let told = local.block_on(&runtime, async {
            let (sender, lines) = broadcast::channel(4);
            let (end, ended) = watch::channel(false);
            let mut chunks = stream(lines, ended);
            let first = chunks.recv().await.expect("the beginning");
            for number in 0..100 {
                sender.send(Arc::from(format!("{{\"event\":\"e{number}\"}}\n"))).expect("somebody listens");
            }
            let mut told = vec![first];
            end.send(true).expect("somebody listens");
            while let Some(chunk) = chunks.recv().await {
                told.push(chunk);
            }
            told
        });
        let told: Vec<_> = told.iter().map(|chunk| std::str::from_utf8(chunk).expect("UTF-8")).collect();
        assert_eq!(told[0], ": events\n\n");
        assert_eq!(told[1], "event: lost\ndata: {\"schema\":1,\"lost\":96}\n\n");
        assert_eq!(told.last(), Some(&"event: e99\ndata: {\"event\":\"e99\"}\n\n"));
        assert_eq!(told.len(), 6);
    }
}
