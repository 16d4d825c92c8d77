//! One fault, from its beginning to its end, with clients that go on meanwhile.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::history::History;
use super::probe::Probe;
use crate::support::{Answer, Client, Server};

const CLIENTS: usize = 5;
/// How long a fault lasts; then its last requests are answered.
const FAULT_TIME: Duration = Duration::from_secs(8);
/// How long a client rests between two requests.
const REST: Duration = Duration::from_millis(20);
/// Everything works again so soon after a fault, without a restart.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// What the machine may add to a promise: it runs other tests at the same time, and the server is not optimized.
const SLACK: Duration = Duration::from_secs(1);
pub const LOG_LINES_MAX: usize = 5;
/// How long after a fault the log says that the trouble is over.
const OVER_TIME_MAX: Duration = Duration::from_secs(20);

/// Something that goes wrong, and how it is made.
pub struct Trouble<'a> {
    pub name: &'static str,
    /// Clients are answered within this.
    pub answer_max: Duration,
    pub begin: Box<dyn Fn() + Sync + Send + 'a>,
    pub end: Box<dyn Fn() + Sync + Send + 'a>,
}

/// What was seen of one kind of request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Each status that was answered, once.
    pub statuses: Vec<u16>,
    /// The longest time to an answer.
    pub time_max: Duration,
}

impl Seen {
    fn add(&mut self, status: u16, time: Duration) {
        if !self.statuses.contains(&status) {
            self.statuses.push(status);
            self.statuses.sort_unstable();
        }
        self.time_max = self.time_max.max(time);
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Measured {
    pub name: &'static str,
    pub writes: Seen,
    pub reads: Seen,
    pub health: u16,
    pub ready: u16,
    pub log_lines: usize,
    pub recovery: Duration,
}

/// A store under a server, and what was done to it so far.
pub struct Scene<'a> {
    pub server: &'a Server,
    pub probe: &'a dyn Probe,
    client: Client,
    histories: Vec<Mutex<History>>,
    /// Promises that were not kept.
    pub broken: Mutex<Vec<String>>,
}

impl<'a> Scene<'a> {
    pub fn new(server: &'a Server, probe: &'a dyn Probe) -> Self {
        Self {
            server,
            probe,
            client: server.client(),
            histories: (0..probe.keys()).map(|_| Mutex::default()).collect(),
            broken: Mutex::default(),
        }
    }

    pub fn history(&self, key: usize) -> History {
        self.histories[key].lock().unwrap().clone()
    }

    fn report(&self, trouble: &str, what: impl AsRef<str>) {
        let mut broken = self.broken.lock().unwrap();
        let what = format!("{trouble}: {}", what.as_ref());
        // A fault breaks a promise for all clients alike; one says enough.
        if !broken.contains(&what) {
            broken.push(what);
        }
    }

    /// Trouble that follows at once is the same one as far as the log is concerned.
    async fn until_the_log_says_it_is_over(&self, before: &str) {
        let deadline = Instant::now() + OVER_TIME_MAX;
        let said = |message: &str| self.server.log().matches(message).count();
        while said(r#""trouble with a backend has ended""#) < said(r#""trouble with a backend""#) {
            if Instant::now() > deadline {
                return self.report(
                    before,
                    "the log does not say that the trouble before it is over",
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Lives through a trouble.
    pub async fn suffer(&self, trouble: &Trouble<'_>) -> Measured {
        self.recover(trouble.name).await;
        self.until_the_log_says_it_is_over(trouble.name).await;
        let lines_before = self.server.log().lines().count();
        (trouble.begin)();
        let until = Instant::now() + FAULT_TIME;
        let clients = join_all((0..CLIENTS).map(|at| self.client(at, until, trouble)));
        let (clients, (health, ready)) = tokio::join!(clients, self.look(trouble));
        let log = self.server.log();
        let lines: Vec<_> = log.lines().skip(lines_before).collect();
        (trouble.end)();
        let recovery = self.recover(trouble.name).await;

        let (mut writes, mut reads) = (Seen::default(), Seen::default());
        for (client_writes, client_reads) in clients {
            for (all, one) in [(&mut writes, client_writes), (&mut reads, client_reads)] {
                for status in one.statuses {
                    all.add(status, one.time_max);
                }
            }
        }
        if lines.len() > LOG_LINES_MAX {
            let first = lines[..3].join("\n");
            self.report(
                trouble.name,
                format!("{} lines of log: {first}", lines.len()),
            );
        }
        if !writes.statuses.contains(&200) {
            if lines.is_empty() {
                self.report(trouble.name, "the log does not say it");
            }
            for (what, status) in [("/health", health), ("/readyz", ready)] {
                if status != 503 {
                    self.report(
                        trouble.name,
                        format!("{what} is {status}, and no write succeeds"),
                    );
                }
            }
        }
        Measured {
            name: trouble.name,
            writes,
            reads,
            health,
            ready,
            log_lines: lines.len(),
            recovery,
        }
    }

    /// Writes and reads in turn.
    async fn client(&self, at: usize, until: Instant, trouble: &Trouble<'_>) -> (Seen, Seen) {
        let (mut writes, mut reads) = (Seen::default(), Seen::default());
        while Instant::now() < until {
            if at < self.histories.len() {
                let started = Instant::now();
                let answer = self.write(at).await;
                self.judge("write", &answer, started.elapsed(), trouble);
                writes.add(answer.status, started.elapsed());
                tokio::time::sleep(REST).await;
            }
            let started = Instant::now();
            let answer = self.read(at % self.histories.len(), trouble.name).await;
            self.judge("read", &answer, started.elapsed(), trouble);
            reads.add(answer.status, started.elapsed());
            tokio::time::sleep(REST).await;
        }
        (writes, reads)
    }

    async fn write(&self, key: usize) -> Answer {
        let number = self.histories[key].lock().unwrap().next();
        let answer = self.probe.write(&self.client, key, number).await;
        if answer.status == 200 {
            self.histories[key].lock().unwrap().acknowledge(number);
        }
        answer
    }

    /// Reads, and compares with what was written.
    async fn read(&self, key: usize, trouble: &str) -> Answer {
        let before = self.history(key);
        let answer = self.probe.read(&self.client, key).await;
        if answer.status == 200 {
            let after = self.history(key);
            match self.probe.number(&answer) {
                Ok(number) if before.allows(&after, number) => {}
                Ok(number) => self.report(
                    trouble,
                    format!("a read shows {number}, which cannot be after {before:?}"),
                ),
                Err(what) => self.report(trouble, format!("a read shows {what}")),
            }
        }
        answer
    }

    /// Answers are right, or say that there is none, in time.
    fn judge(&self, what: &str, answer: &Answer, time: Duration, trouble: &Trouble<'_>) {
        let is_cut_off = answer.status == 0;
        if !matches!(answer.status, 200 | 503) && !is_cut_off {
            // Without what is of one request only.
            let problem: serde_json::Value =
                serde_json::from_str(&answer.text()).unwrap_or_default();
            let (status, detail) = (answer.status, &problem["detail"]);
            self.report(
                trouble.name,
                format!("a {what} is answered {status}: {detail}"),
            );
        }
        if answer.status == 503 && answer.header("retry-after").is_none() {
            self.report(trouble.name, format!("a {what} is 503 without Retry-After"));
        }
        if time > trouble.answer_max + SLACK {
            let most = trouble.answer_max;
            let seconds = time.as_secs_f64().round();
            self.report(
                trouble.name,
                format!("a {what} takes {seconds} s, and {most:?} is the most"),
            );
        }
    }

    /// In the middle of it: how the server says it is, and whether the rest of it goes on.
    async fn look(&self, trouble: &Trouble<'_>) -> (u16, u16) {
        tokio::time::sleep(FAULT_TIME / 2).await;
        let ask = async |path: &str| {
            let started = Instant::now();
            let answer = self.client.get(path).await;
            if started.elapsed() > Duration::from_secs(1) + SLACK {
                let time = started.elapsed();
                self.report(trouble.name, format!("{path} takes {time:?}"));
            }
            answer.status
        };
        let (health, ready, live, other) = tokio::join!(
            ask("/health"),
            ask("/readyz"),
            ask("/livez"),
            ask(self.probe.other())
        );
        for (path, status) in [("/livez", live), (self.probe.other(), other)] {
            if status != 200 {
                self.report(trouble.name, format!("{path} is {status}"));
            }
        }
        (health, ready)
    }

    /// Waits until a write and a read of each key succeed, and the server says that it is well.
    async fn recover(&self, trouble: &str) -> Duration {
        let started = Instant::now();
        let mut time = Duration::ZERO;
        loop {
            let keys = 0..self.histories.len();
            let answers = join_all(keys.map(async |key| {
                let write = self.write(key).await.status;
                (write, self.read(key, trouble).await.status)
            }));
            let is_well = answers.await.iter().all(|answer| *answer == (200, 200));
            if is_well && time.is_zero() {
                time = started.elapsed();
            }
            let states = [
                self.client.get("/health").await,
                self.client.get("/readyz").await,
            ];
            if is_well && states.iter().all(|answer| answer.status == 200) {
                break;
            }
            if started.elapsed() > RECOVERY_MAX + SLACK {
                let [health, ready] = states;
                self.report(
                    trouble,
                    format!(
                        "not back after {RECOVERY_MAX:?}: {} {}",
                        health.text(),
                        ready.text()
                    ),
                );
                break;
            }
            tokio::time::sleep(REST).await;
        }
        time.max(Duration::from_millis(1))
    }
}
