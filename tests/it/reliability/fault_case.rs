//! A single fault from beginning to end, while clients continue.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::history::History;
use super::probe::Probe;
use crate::support::{Answer, Client, Server};

const CLIENTS: usize = 5;
/// How long a fault lasts; the last requests are answered afterwards.
const FAULT_TIME: Duration = Duration::from_secs(8);
/// The pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// How long after a fault everything works again, without a restart.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// A tolerance for every limit: the machine runs other tests at the same time, and the server is not optimized.
const TOLERANCE: Duration = Duration::from_secs(1);
pub const LOG_LINES_MAX: usize = 5;
/// How long after a fault the log reports the end of the outage.
const OUTAGE_END_TIME_MAX: Duration = Duration::from_secs(20);

/// A fault, with the actions to begin and to end the fault.
pub struct FaultCase<'a> {
    pub name: &'static str,
    /// Clients are answered within this time.
    pub answer_max: Duration,
    pub begin: Box<dyn Fn() + Sync + Send + 'a>,
    pub end: Box<dyn Fn() + Sync + Send + 'a>,
}

/// The answers to a kind of request.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Each status, once.
    pub statuses: Vec<u16>,
    /// The longest time to an answer.
    pub time_max: Duration,
}

impl Answers {
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
pub struct Measurement {
    pub name: &'static str,
    pub writes: Answers,
    pub reads: Answers,
    pub health: u16,
    pub ready: u16,
    pub log_lines: usize,
    pub recovery: Duration,
}

/// A store with the server, and all writes so far.
pub struct StoreUnderTest<'a> {
    pub server: &'a Server,
    pub probe: &'a dyn Probe,
    client: Client,
    histories: Vec<Mutex<History>>,
    /// Violations of promises.
    pub violations: Mutex<Vec<String>>,
}

impl<'a> StoreUnderTest<'a> {
    pub fn new(server: &'a Server, probe: &'a dyn Probe) -> Self {
        Self {
            server,
            probe,
            client: server.client(),
            histories: (0..probe.keys()).map(|_| Mutex::default()).collect(),
            violations: Mutex::default(),
        }
    }

    pub fn history(&self, key: usize) -> History {
        self.histories[key].lock().unwrap().clone()
    }

    fn report(&self, fault_case: &str, what: impl AsRef<str>) {
        let mut violations = self.violations.lock().unwrap();
        let what = format!("{fault_case}: {}", what.as_ref());
        // A fault breaks a promise for all clients in the same way, so a single report is enough.
        if !violations.contains(&what) {
            violations.push(what);
        }
    }

    /// Waits until the log reports the end of the previous outage. Otherwise the next outage continues the previous outage in the log.
    async fn until_the_log_reports_the_end(&self, before: &str) {
        let deadline = Instant::now() + OUTAGE_END_TIME_MAX;
        let count = |message: &str| self.server.log().matches(message).count();
        while count(r#""trouble with a backend has ended""#) < count(r#""trouble with a backend""#)
        {
            if Instant::now() > deadline {
                return self.report(
                    before,
                    "the log does not say that the trouble before it is over",
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs a fault case.
    pub async fn run(&self, fault_case: &FaultCase<'_>) -> Measurement {
        self.recover(fault_case.name).await;
        self.until_the_log_reports_the_end(fault_case.name).await;
        let lines_before = self.server.log().lines().count();
        (fault_case.begin)();
        let until = Instant::now() + FAULT_TIME;
        let clients = join_all((0..CLIENTS).map(|at| self.client(at, until, fault_case)));
        let (clients, (health, ready)) = tokio::join!(clients, self.check_status(fault_case));
        let log = self.server.log();
        let lines: Vec<_> = log.lines().skip(lines_before).collect();
        (fault_case.end)();
        let recovery = self.recover(fault_case.name).await;

        let (mut writes, mut reads) = (Answers::default(), Answers::default());
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
                fault_case.name,
                format!("{} lines of log: {first}", lines.len()),
            );
        }
        if !writes.statuses.contains(&200) {
            if lines.is_empty() {
                self.report(fault_case.name, "the log does not say it");
            }
            for (what, status) in [("/health", health), ("/readyz", ready)] {
                if status != 503 {
                    self.report(
                        fault_case.name,
                        format!("{what} is {status}, and no write succeeds"),
                    );
                }
            }
        }
        Measurement {
            name: fault_case.name,
            writes,
            reads,
            health,
            ready,
            log_lines: lines.len(),
            recovery,
        }
    }

    /// Writes and reads in turns.
    async fn client(
        &self,
        at: usize,
        until: Instant,
        fault_case: &FaultCase<'_>,
    ) -> (Answers, Answers) {
        let (mut writes, mut reads) = (Answers::default(), Answers::default());
        while Instant::now() < until {
            if at < self.histories.len() {
                let started = Instant::now();
                let answer = self.write(at).await;
                self.check_answer("write", &answer, started.elapsed(), fault_case);
                writes.add(answer.status, started.elapsed());
                tokio::time::sleep(PAUSE).await;
            }
            let started = Instant::now();
            let answer = self.read(at % self.histories.len(), fault_case.name).await;
            self.check_answer("read", &answer, started.elapsed(), fault_case);
            reads.add(answer.status, started.elapsed());
            tokio::time::sleep(PAUSE).await;
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

    /// Reads a key, and compares the number with the writes.
    async fn read(&self, key: usize, fault_case: &str) -> Answer {
        let before = self.history(key);
        let answer = self.probe.read(&self.client, key).await;
        if answer.status == 200 {
            let after = self.history(key);
            match self.probe.number(&answer) {
                Ok(number) if before.allows(&after, number) => {}
                Ok(number) => self.report(
                    fault_case,
                    format!("a read shows {number}, which cannot be after {before:?}"),
                ),
                Err(what) => self.report(fault_case, format!("a read shows {what}")),
            }
        }
        answer
    }

    /// Checks an answer: the answer is right, or a timely 503.
    fn check_answer(
        &self,
        what: &str,
        answer: &Answer,
        time: Duration,
        fault_case: &FaultCase<'_>,
    ) {
        let is_cut_off = answer.status == 0;
        if !matches!(answer.status, 200 | 503) && !is_cut_off {
            // Omits the parts of the problem with different values in each request.
            let problem: serde_json::Value =
                serde_json::from_str(&answer.text()).unwrap_or_default();
            let (status, detail) = (answer.status, &problem["detail"]);
            self.report(
                fault_case.name,
                format!("a {what} is answered {status}: {detail}"),
            );
        }
        if answer.status == 503 && answer.header("retry-after").is_none() {
            self.report(
                fault_case.name,
                format!("a {what} is 503 without Retry-After"),
            );
        }
        if time > fault_case.answer_max + TOLERANCE {
            let most = fault_case.answer_max;
            let seconds = time.as_secs_f64().round();
            self.report(
                fault_case.name,
                format!("a {what} takes {seconds} s, and {most:?} is the most"),
            );
        }
    }

    /// In the middle of the fault: the reported status, and whether the other routes work.
    async fn check_status(&self, fault_case: &FaultCase<'_>) -> (u16, u16) {
        tokio::time::sleep(FAULT_TIME / 2).await;
        let ask = async |path: &str| {
            let started = Instant::now();
            let answer = self.client.get(path).await;
            if started.elapsed() > Duration::from_secs(1) + TOLERANCE {
                let time = started.elapsed();
                self.report(fault_case.name, format!("{path} takes {time:?}"));
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
                self.report(fault_case.name, format!("{path} is {status}"));
            }
        }
        (health, ready)
    }

    /// Waits until a write and a read of each key succeed, and the server reports readiness.
    async fn recover(&self, fault_case: &str) -> Duration {
        let started = Instant::now();
        let mut time = Duration::ZERO;
        loop {
            let keys = 0..self.histories.len();
            let answers = join_all(keys.map(async |key| {
                let write = self.write(key).await.status;
                (write, self.read(key, fault_case).await.status)
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
            if started.elapsed() > RECOVERY_MAX + TOLERANCE {
                let [health, ready] = states;
                self.report(
                    fault_case,
                    format!(
                        "not back after {RECOVERY_MAX:?}: {} {}",
                        health.text(),
                        ready.text()
                    ),
                );
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        time.max(Duration::from_millis(1))
    }
}
