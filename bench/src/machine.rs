//! Where was it measured? What a record has to say of a machine for its figures to mean anything.

use dreamstep_runtime::Backend;
use serde::{Deserialize, Serialize};
use std::fs::read_to_string;
use std::process::Command;

/// A machine and a build, as far as they can be found out; what cannot says so.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Data and unified caches of the first core, nearest first.
    pub caches: Vec<String>,
    /// Memory, in GiB; 0 where unknown.
    pub memory_gib: f64,
    /// Back ends of the runtime that it runs.
    pub backends: Vec<String>,
    /// Whether the kernel says that it runs in a virtual machine.
    pub virtual_machine: bool,
    /// Operating system and kernel.
    pub system: String,
    /// The compiler.
    pub rustc: String,
    /// The commit, with `+` where files differ from it.
    pub commit: String,
    /// Processes running or waiting for a core, the last minute's mean; 0 where unknown.
    pub load: f64,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
            Some(line.split_once(':')?.1.trim().to_string())
        };
        let memory = field(&read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal");
        let kib = memory.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        let release = read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"'));
        let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
        let changed =
            output("git", &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
        Self {
            processor: field(&info, "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            caches: caches(),
            memory_gib: kib.unwrap_or(0.0) / f64::from(1 << 20),
            backends: Backend::ALL.into_iter().filter(|b| b.is_available()).map(|b| b.name().to_string()).collect(),
            virtual_machine: field(&info, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            system: format!("{}, {}", name.unwrap_or("unknown"), output("uname", &["-sr"]).unwrap_or_else(unknown)),
            rustc: output("rustc", &["--version"]).unwrap_or_else(unknown),
            commit: commit.map_or_else(unknown, |commit| commit + if changed { "+" } else { "" }),
            load: read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0),
        }
    }

    /// As the first lines of a record.
    #[must_use]
    pub fn markdown(&self) -> String {
        let kind = if self.virtual_machine { ", virtual machine" } else { "" };
        format!(
            "- Machine: {}, {} cores{kind}; {}; {:.0} GiB; back ends {}\n- System: {}; {}\n- Commit: {}\n- Load before the run: {:.2}\n",
            self.processor,
            self.cores,
            self.caches.join(", "),
            self.memory_gib,
            self.backends.join(", "),
            self.system,
            self.rustc,
            self.commit,
            self.load
        )
    }
}

fn unknown() -> String {
    "unknown".to_string()
}

/// Standard output of a command that succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn caches() -> Vec<String> {
    let read = |index: usize, name: &str| {
        let text = read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}")).ok()?;
        Some(text.trim().to_string())
    };
    let one = |index| {
        let (level, kind, size) = (read(index, "level")?, read(index, "type")?, read(index, "size")?);
        (kind != "Instruction").then(|| format!("L{level} {size}"))
    };
    (0..8).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_it_runs_on() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.backends.contains(&"portable".to_string()));
        assert!(machine.rustc.starts_with("rustc ") || machine.rustc == "unknown");
        assert!(machine.markdown().lines().count() == 4);
    }
}
