//! A worker that misbehaves beside one that must not notice: worker 1 on a port of its own commits a crime, in its
//! first instance only, and worker 2 on the next port is watched all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Connection, Luster, Running, Target, children, eventually, free_ports, get, is_alive, processes_in, state,
};

/// Between two requests of the watch; a pace, nothing waits for it.
const PACE: Duration = Duration::from_millis(20);

/// A luster with a worker that misbehaves and a healthy one.
pub(crate) struct Pair {
    pub(crate) luster: Running,
    port: u16,
    watch: Watch,
}

impl Pair {
    /// The app of both: answers with its number and pid, and `/crime` has the first instance of worker 1 run `crime`
    /// once the answer is out.
    fn app(crime: &str) -> String {
        let js = r"
            const fs = require('fs'), http = require('http'), child_process = require('child_process');
            const wid = process.env.LUSTER_WID;
            const commit = () => { CRIME };
            http.createServer((request, response) => {
                if (request.url === '/crime') { response.on('finish', () => setTimeout(commit, 1)); }
                response.end(`${wid} ${process.pid}`);
            }).listen(process.env.port);
        ";
        js.replace("CRIME", crime)
    }

    /// What commits this crime when told to.
    pub(crate) fn of(crime: &str, control: Value) -> (Luster, u16) {
        Self::of_app(&Self::app(crime), control)
    }

    /// The same layout for another app.
    pub(crate) fn of_app(app: &str, control: Value) -> (Luster, u16) {
        let port = free_ports(2);
        let server = json!({"port": port, "groups": 2});
        (Luster::with(app, json!({"workers": 2, "server": server, "control": control})), port)
    }

    /// Both run and answer.
    #[track_caller]
    pub(crate) fn running(crime: &str, control: Value) -> Self {
        let (luster, port) = Self::of(crime, control);
        let pair = Self::start(luster, port);
        pair.await_answer(0);
        pair
    }

    /// Starts what [`Self::of`] has made; worker 2 answers, worker 1 may be on its way.
    #[track_caller]
    pub(crate) fn start(luster: Luster, port: u16) -> Self {
        let luster = luster.start();
        luster.await_event_where("listening", 1, |line| line["wid"] == 2);
        let watch = Watch::begin(port + 1);
        Self { luster, port, watch }
    }

    /// Worker 1 begins its crime; answers with its pid.
    #[track_caller]
    pub(crate) fn commit(&self) -> i32 {
        let criminal = self.luster.worker_pid(1);
        let mut connection = Connection::open(&Target::Tcp(self.port)).expect("worker 1 listens");
        connection.request("GET /crime HTTP/1.1\r\nConnection: close", b"").expect("an answer");
        criminal
    }

    /// Waits until worker 1 answers with another pid than this one.
    #[track_caller]
    pub(crate) fn await_answer(&self, but: i32) -> i32 {
        eventually("worker 1 answers", || {
            let body = get(&Target::Tcp(self.port)).ok()?.body;
            let pid = body.strip_prefix("1 ")?.parse().ok()?;
            (pid != but).then_some(pid)
        })
    }

    /// Worker 1 committed its crime, and is replaced; the line of its end.
    #[track_caller]
    pub(crate) fn commit_and_be_replaced(&self) -> Value {
        let criminal = self.commit();
        self.await_answer(criminal);
        self.luster.await_event_where("exit", 1, |line| line["pid"] == criminal)
    }

    /// Worker 2 has noticed nothing, nothing is left in the process table, and a stop leaves nothing behind.
    #[track_caller]
    pub(crate) fn end(self) {
        let Self { luster, watch, .. } = self;
        watch.end(luster.worker_pid(2));
        eventually("every dead child is reaped", || {
            children(luster.pid()).into_iter().all(|child| state(child) != Some('Z')).then_some(())
        });
        let forks = luster.events("fork");
        assert_eq!(
            forks.iter().filter(|line| line["wid"] == 2).count(),
            1,
            "worker 2 had one life: {forks:?}"
        );
        let (pids, folder) = (luster.all_pids(), luster.path().to_owned());
        let (code, log) = luster.stop();
        assert_eq!(code, 0, "{log:?}");
        assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?}");
        assert_eq!(processes_in(&folder), [], "left behind");
    }
}

/// Somebody who asks worker 2 all the time.
struct Watch {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    asker: JoinHandle<Vec<String>>,
}

impl Watch {
    fn begin(port: u16) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (stop.clone(), asked.clone());
        let asker = std::thread::spawn(move || {
            let mut answers = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let answer = get(&Target::Tcp(port)).map(|reply| reply.body);
                answers.push(answer.unwrap_or_else(|error| error.to_string()));
                answers.dedup();
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(PACE);
            }
            answers
        });
        Self { stop, asked, asker }
    }

    /// Every answer there ever was is the one of this process, also one from now on.
    #[track_caller]
    fn end(self, pid: i32) {
        let before = self.asked.load(Ordering::Relaxed);
        eventually("worker 2 is asked once more", || {
            (self.asked.load(Ordering::Relaxed) > before + 1).then_some(())
        });
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.asker.join().expect("no panic"), [format!("2 {pid}")], "what worker 2 answered");
    }
}
