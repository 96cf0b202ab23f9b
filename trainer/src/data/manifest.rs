//! The manifest of a rollouts folder, `collect.txt`: where its episodes come from, one line a part.
//!
//! ```text
//! env = Humanoid-v5, policy = uniform, seed = 0, episodes = 0..1238
//! env = Humanoid-v5, policy = agent, agent = 8d0c…, seed = 0, episodes = 1238..
//! ```
//!
//! A part is a range of episode numbers. Only the last may be open: it grows until the folder holds `collect.steps`. A folder with one
//! open part has no range in its line. Numbers run through all parts, and name an episode's random draws: no two parts repeat each other,
//! whatever their seeds.

use super::rollouts::list;
use crate::run::config::{CollectPolicy, Config};
use crate::run::folder::{PARTIAL, write_atomic};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fmt;
use std::path::{Path, PathBuf};

/// The file's name.
pub const FILE: &str = "collect.txt";

/// Gaussian noise of standard deviation `scale` (in halves of the action range) that keeps 1/e of itself over `correlation` steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Above 0.
    pub scale: f64,
    /// 0 is white noise.
    pub correlation: f64,
}

/// The policy that acted.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// Uniform over the action range.
    Uniform,
    /// The zero action.
    Zero,
    /// Around the middle of the range.
    Noise(Noise),
    /// A packed agent: the digest of its file, which lies in the folder ([`agent_path`]), and what was added to its actions.
    Agent(String, Option<Noise>),
}

/// Where episodes come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Recorded here, and could be again.
    Recorded {
        /// Who acted.
        policy: Policy,
        /// The run's seed then.
        seed: u64,
    },
    /// Brought here by `dreamstep import`, from files with this digest.
    Imported(String),
}

/// Episodes `first..end` of a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The environment's label ([`crate::run::config::EnvConfig::label`]): its id, and what else decides what it does.
    pub env: String,
    /// Where they come from.
    pub origin: Origin,
    /// The first one's number.
    pub first: u64,
    /// One past the last one's number; none where it is not known yet.
    pub end: Option<u64>,
}

/// Where the folder keeps the agent with `digest` that recorded in it: needed to record more, or a lost episode again.
#[must_use]
pub fn agent_path(folder: &Path, digest: &str) -> PathBuf {
    folder.join(format!("agent-{digest}.safetensors"))
}

impl Policy {
    /// What `config` asks for; `agent` is the digest of the agent, where one was named.
    ///
    /// # Errors
    /// The policy is `agent`, and none was named.
    pub fn of(config: &Config, agent: Option<&str>) -> Result<Self> {
        let collect = &config.collect;
        let noise = |scale| Noise { scale, correlation: collect.noise_correlation };
        Ok(match collect.policy {
            CollectPolicy::Random => Self::Uniform,
            CollectPolicy::Zero => Self::Zero,
            CollectPolicy::Noise => Self::Noise(noise(collect.noise_scale)),
            CollectPolicy::Agent => Self::Agent(
                agent.context("collect.policy = agent: expected --agent FILE, a packed agent, found none")?.to_owned(),
                (collect.exploration > 0.0).then(|| noise(collect.exploration)),
            ),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "env = {}, policy = ", self.env)?;
        let noise = |f: &mut fmt::Formatter<'_>, noise: &Noise| {
            write!(f, ", noise_scale = {}, noise_correlation = {}", noise.scale, noise.correlation)
        };
        match &self.origin {
            Origin::Imported(digest) => write!(f, "imported, source = {digest}")?,
            Origin::Recorded { policy, seed } => {
                match policy {
                    Policy::Uniform => f.write_str("uniform")?,
                    Policy::Zero => f.write_str("zero")?,
                    Policy::Noise(parameters) => {
                        f.write_str("noise")?;
                        noise(f, parameters)?;
                    }
                    Policy::Agent(digest, exploration) => {
                        write!(f, "agent, agent = {digest}")?;
                        exploration.iter().try_for_each(|exploration| noise(f, exploration))?;
                    }
                }
                write!(f, ", seed = {seed}")?;
            }
        }
        match (self.first, self.end) {
            (0, None) => Ok(()),
            (first, end) => write!(f, ", episodes = {first}..{}", end.map_or(String::new(), |end| end.to_string())),
        }
    }
}

impl Part {
    /// Reads what `Display` wrote.
    fn parse(line: &str) -> Result<Self> {
        let fields: Vec<(&str, &str)> = line.split(", ").filter_map(|field| field.split_once(" = ")).collect();
        let find = |key: &str| fields.iter().find(|(found, _)| *found == key).map(|(_, value)| *value);
        let get = |key: &str| find(key).with_context(|| format!("expected `{key} = …`"));
        let number = |key: &str| -> Result<f64> { Ok(get(key)?.parse()?) };
        let noise =
            || -> Result<Noise> { Ok(Noise { scale: number("noise_scale")?, correlation: number("noise_correlation")? }) };
        let recorded = |policy| -> Result<Origin> { Ok(Origin::Recorded { policy, seed: get("seed")?.parse()? }) };
        let origin = match get("policy")? {
            "uniform" => recorded(Policy::Uniform)?,
            "zero" => recorded(Policy::Zero)?,
            "noise" => recorded(Policy::Noise(noise()?))?,
            "agent" => {
                let exploration = find("noise_scale").map(|_| noise()).transpose()?;
                recorded(Policy::Agent(get("agent")?.to_owned(), exploration))?
            }
            "imported" => Origin::Imported(get("source")?.to_owned()),
            other => bail!("expected a policy, found `{other}`"),
        };
        let (first, end) = match find("episodes") {
            None => (0, None),
            Some(range) => {
                let (first, end) = range.split_once("..").context("expected `episodes = first..end`")?;
                (first.parse()?, if end.is_empty() { None } else { Some(end.parse()?) })
            }
        };
        let part = Self { env: get("env")?.to_owned(), origin, first, end };
        ensure!(part.to_string() == line, "expected `{part}`");
        Ok(part)
    }
}

/// The parts of `folder`; none where it is empty or missing. `asked` is the line that the caller would write.
///
/// # Errors
/// One line: the folder holds files but no manifest, or a manifest that cannot be read.
pub fn read(folder: &Path, asked: &dyn fmt::Display) -> Result<Vec<Part>> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            ensure!(
                entries.all(|entry| may_lie_alone(&entry.path())),
                "{}: expected an empty folder, or one with the {FILE} of `{asked}`; name another run, or remove the folder",
                folder.display(),
            );
            return Ok(Vec::new());
        }
        // Nothing lies below a file; writing there is the error.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot read", path.display())),
    };
    let parse = |line: &str| {
        Part::parse(line).map_err(|e| anyhow!("{}: expected the parts of a folder, found `{line}`: {e:#}", path.display()))
    };
    let parts: Vec<Part> = text.lines().map(parse).collect::<Result<_>>()?;
    let mut next = 0;
    for (i, part) in parts.iter().enumerate() {
        let last = i + 1 == parts.len();
        ensure!(
            part.first == next && (last || part.end.is_some()) && part.end.is_none_or(|end| end > next),
            "{}: line {}: expected episodes from {next} on, found `{part}`",
            path.display(),
            i + 1
        );
        next = part.end.unwrap_or(next);
    }
    ensure!(!parts.is_empty(), "{}: expected `{asked}`, found an empty file", path.display());
    Ok(parts)
}

/// That all episodes of `folder` are of the environment labelled `env`, as far as it says: one that another program filled does not.
///
/// # Errors
/// One line: the part that is of another; or as [`read`].
pub fn expect(folder: &Path, env: &str) -> Result<()> {
    let file = folder.join(FILE);
    let parts = if file.exists() { read(folder, &env)? } else { Vec::new() };
    match parts.iter().find(|part| part.env != env) {
        Some(part) => bail!("{}: expected episodes of {env}, found `{part}`", file.display()),
        None => Ok(()),
    }
}

/// Writes the manifest of `folder`.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &Path, parts: &[Part]) -> Result<()> {
    let text: String = parts.iter().map(|part| format!("{part}\n")).collect();
    write_atomic(&folder.join(FILE), text.as_bytes())
}

/// Whether the file at `path` may lie there without a manifest: left unfinished by a killed process, or an agent, which is written first.
fn may_lie_alone(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(PARTIAL) || name.starts_with("agent-") && name.ends_with(".safetensors")
}

/// How many episodes a folder has files for.
///
/// # Errors
/// The folder cannot be listed.
pub fn files(folder: &Path) -> Result<u64> {
    if folder.exists() { Ok(list(folder)?.len() as u64) } else { Ok(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(origin: Origin, first: u64, end: Option<u64>) -> Part {
        Part { env: "Humanoid-v5".into(), origin, first, end }
    }

    #[test]
    fn a_manifest_reads_back_and_its_first_form_is_still_written() {
        let noise = Noise { scale: 0.1 + 0.2, correlation: 1e-7 };
        let policies = [
            Policy::Uniform,
            Policy::Zero,
            Policy::Noise(noise),
            Policy::Agent("00ff".into(), None),
            Policy::Agent("1".into(), Some(noise)),
        ];
        let recorded = policies.map(|policy| Origin::Recorded { policy, seed: u64::MAX });
        for origin in recorded.into_iter().chain([Origin::Imported("beef".into())]) {
            for (first, end) in [(0, None), (0, Some(7)), (7, None), (7, Some(9))] {
                let part = part(origin.clone(), first, end);
                assert_eq!(Part::parse(&part.to_string()).unwrap(), part);
            }
        }
        let first = part(Origin::Recorded { policy: Policy::Uniform, seed: 0 }, 0, None);
        assert_eq!(first.to_string(), "env = Humanoid-v5, policy = uniform, seed = 0");
    }

    #[test]
    fn a_manifest_that_makes_no_sense_is_refused_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let part = "env = X, policy = zero, seed = 1";
        for (text, expected) in [
            ("", "found an empty file"),
            ("nonsense\n", "found `nonsense`"),
            ("env = X, policy = uniform\n", "seed"),
            ("env = X, policy = psychic, seed = 0\n", "psychic"),
            (&format!("{part}, colour = red\n"), "expected `env = X"),
            (&format!("{part}\n{part}\n"), "line 1"),
            (&format!("{part}, episodes = 0..3\n{part}, episodes = 4..\n"), "line 2: expected episodes from 3 on"),
            (&format!("{part}, episodes = 0..0\n"), "line 1"),
        ] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            let error = format!("{:#}", read(folder.path(), &"mine").unwrap_err());
            assert!(error.contains(expected) && error.contains(FILE) && !error.contains('\n'), "{text:?}: {error}");
        }
        let good = format!("{part}, episodes = 0..3\n{part}, episodes = 3..\n");
        std::fs::write(folder.path().join(FILE), &good).unwrap();
        let parts = read(folder.path(), &"mine").unwrap();
        write(folder.path(), &parts).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), good);
    }
}
