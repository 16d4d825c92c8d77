//! Figures from Linux about a process: CPU time, memory, bytes written.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};

/// The resources used by a process since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time of all threads, including ended ones. Exact to a tick, usually 10 ms.
    pub(crate) cpu: Duration,
    /// Bytes written to disk because of the process.
    pub(crate) written_bytes: u64,
}

impl Usage {
    /// Reads the figures of a running process, or of an ended process that no process has waited for.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = read(pid, "stat")?;
        // The name, in parentheses, may contain any text. The fields after the name are plain, beginning with number 3.
        let fields: Vec<&str> = after_name(&stat)?.split_whitespace().collect();
        let ticks = |number: usize| -> Result<u64> {
            let field = fields.get(number - 3).context("a short /proc stat")?;
            Ok(field.parse()?)
        };
        let total = ticks(14)? + ticks(15)?;
        // Unlike the times, this figure is gone once the process has ended.
        let io = read(pid, "io").unwrap_or_default();
        Ok(Self {
            cpu: Duration::from_secs_f64(total as f64 / ticks_per_second()),
            written_bytes: number_after(&io, "write_bytes:").unwrap_or(0),
        })
    }
}

/// Resident memory in bytes: the peak and the current value.
pub(crate) fn resident_bytes(pid: u32) -> Result<(u64, u64)> {
    let status = read(pid, "status")?;
    let kibibytes = |name| number_after(&status, name).context("a /proc status without memory");
    Ok((kibibytes("VmHWM:")? * 1024, kibibytes("VmRSS:")? * 1024))
}

/// Whether the process has ended, and no process has waited for the end yet. The times are final then.
pub(crate) fn has_ended(pid: u32) -> Result<bool> {
    Ok(after_name(&read(pid, "stat")?)?.starts_with(['Z', 'X']))
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

fn after_name(stat: &str) -> Result<&str> {
    let (_, fields) = stat.rsplit_once(") ").context("an odd /proc stat")?;
    Ok(fields)
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let output = Command::new("getconf").arg("CLK_TCK").output().ok();
        let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
        text.and_then(|text| text.trim().parse().ok())
            .unwrap_or(100.0)
    })
}
