//! Todos on each backend: adding todos, and lists of very many.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::add_todo::{AddTodo, DIGITS};
use crate::control::Control;
use crate::load::{self, Work, Worker};
use crate::report::Rounds;
use crate::rounds::measure;
use crate::scenarios::Run;
use crate::server::Server;

const CONNECTIONS: usize = 16;
impl Run {
    /// Runs both backends in turn.
    pub(crate) async fn todos(&mut self) -> Result<()> {
        let data = self.directory.join("todos-sqlite");
        let server = Server::product_with(&data, &["--todos", "sqlite:"])?;
        self.todos_on("todos-sqlite", server).await?;
        #[cfg(feature = "cloud")]
        {
            let database = crate::postgres::Database::new();
            // The tests use the same module, and switch fsync off.
            database.sql_elsewhere("ALTER SYSTEM SET fsync = on");
            database.sql_elsewhere("SELECT pg_reload_conf()");
            let data = self.directory.join("todos-postgres");
            let server = Server::product_with(&data, &["--todos", &database.url()])?;
            self.todos_on("todos-postgres", server).await?;
            database.sql_elsewhere("ALTER SYSTEM RESET fsync");
            database.sql_elsewhere("SELECT pg_reload_conf()");
        }
        Ok(())
    }

    async fn todos_on(&mut self, name: &str, server: Server) -> Result<()> {
        let count = (self.options.fill / 10).max(1000);
        self.report.heading(
            name,
            &format!("POST /api/todos, durable, {CONNECTIONS} connections, until there are {count} of them"),
        );
        let mut workers: Vec<Worker> = (0..CONNECTIONS)
            .map(|index| Worker::unpaced(Work::Add(AddTodo::new(index, CONNECTIONS))))
            .collect();
        let mut added = 0;
        let mut rounds = Rounds::default();
        for _ in 0..self.options.rounds {
            let figures = measure(&server, &mut workers, self.round()).await?;
            added += figures.items;
            rounds.push(figures);
        }
        self.report.rounds(name, "todos", &rounds, None);
        let missing = count.saturating_sub(added).div_ceil(CONNECTIONS as u64);
        for worker in &mut workers {
            worker.requests_max = Some(missing);
        }
        let filling = load::run(server.address, &mut workers, Duration::from_secs(3600)).await?;
        added += filling.items;

        let rare = format!("/api/todos?text={:0width$}", added / 2, width = DIGITS);
        for (what, path) in [
            ("the first page of 100", "/api/todos"),
            ("a page of 1,000", "/api/todos?limit=1000"),
            ("those of a status", "/api/todos?status=pending"),
            (
                "a status and a week",
                "/api/todos?status=pending&deadlineAfter=2026-12-05T00:00Z&deadlineBefore=2026-12-12T00:00Z",
            ),
            ("words that one todo has", &rare),
            ("words that every eighth has", "/api/todos?text=LANDLORD"),
            ("words that nobody has", "/api/todos?text=unheard-of"),
            (
                "two letters that nobody has",
                "/api/todos?text=%C3%9F%C3%9F",
            ),
        ] {
            self.report.heading(
                name,
                &format!("GET {path}: {what}, of {added}, one connection"),
            );
            let mut workers = vec![Worker::unpaced(Work::get(path))];
            let mut rounds = Rounds::default();
            for _ in 0..self.options.rounds {
                rounds.push(measure(&server, &mut workers, self.round().div_f64(4.0)).await?);
            }
            self.report.rounds(name, "requests", &rounds, None);
        }
        let found = count_all(&server)?;
        ensure!(
            found == added,
            "{added} todos were acknowledged, and {found} are there"
        );
        self.report.value(
            name,
            "todos acknowledged, and found again",
            found as f64,
            "",
        );
        let (peak, _) = server.resident_bytes()?;
        let mebibytes = peak as f64 / f64::from(1 << 20);
        self.report
            .value(name, "resident memory, most", mebibytes, "MiB");
        server.stop()?;
        Ok(())
    }
}

/// Counts the todos, a page at a time.
fn count_all(server: &Server) -> Result<u64> {
    let mut control = Control::new(server.address);
    let mut count = 0;
    let mut cursor = String::new();
    loop {
        let page = control.get(&format!("/api/todos?limit=1000{cursor}"))?;
        let todos = page["todos"].as_array().context("no list of todos")?;
        count += todos.len() as u64;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(count),
        }
    }
}
