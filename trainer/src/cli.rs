//! The command line: subcommands, their arguments and defaults. What they do is in `main.rs`.

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, Parser, Subcommand};
use dreamstep::agent::weights;
use dreamstep::data::export::Form;
use dreamstep::data::import::Rows;
use dreamstep::judge::ablation::Arm;
use dreamstep::judge::render;
use dreamstep::pipeline::Stage;
use dreamstep::run::config::{MAX_THREADS, Preset};
use dreamstep::run::folder::RunDir;
use dreamstep::world::device::Device;
use dreamstep_runtime::{Backend, Precision};
use std::path::PathBuf;

/// Trains a world model (VAE, MDN-RNN, linear controller) on a workstation and exports one file for the no_std runtime.
///
/// Stages: collect → train → pack → evaluate / run. Every stage reads and writes one run folder.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Record episodes of a policy into RUN/rollouts (an interrupted collection is resumed)
    ///
    /// `collect.policy` is random, zero, noise (correlated in time) or agent. `collect.steps` counts what the folder holds in the end.
    Collect {
        #[command(flatten)]
        run: RunArgs,
        /// Where the folder's last episodes are another policy's or seed's, add to them: `collect.steps` counts all
        #[arg(long)]
        append: bool,
        /// The packed agent that acts (implies collect.policy = agent); a collection that is resumed has its own
        #[arg(long, value_name = "FILE")]
        agent: Option<PathBuf>,
    },
    /// Take rollouts that another program recorded as RUN/rollouts
    ///
    /// FILES are .npz (TorchWM, ctallec, or dumps of D4RL or Gymnasium: observations, actions, rewards and flags of ends), the
    /// *observations.npy of a triplet (its actions, rewards and flags lie beside it), our own episodes, folders of them, or Minari's
    /// datasets: minari:ID, or a dataset's folder. `--set env=…` names the environment that they are of; `recorded`, with
    /// `[env.recorded]`, where there is none.
    Import {
        #[command(flatten)]
        run: RunArgs,
        /// What to import
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Add to the episodes that RUN has
        #[arg(long)]
        append: bool,
        /// The recording's time limit, where it is not the environment's: episodes that no flag ends sooner are cut after N steps
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
        episode_length: Option<u32>,
        /// Whether row t of the observations is what action t was taken in, or where it led
        #[arg(long, value_enum, default_value_t)]
        observations: Rows,
        /// Keep each episode's last step and its end, with its last observation once more for the one that was not recorded
        #[arg(long)]
        repeat_final: bool,
    },
    /// Write RUN's episodes as other programs read them
    Export {
        /// The run's folder
        #[arg(long, value_name = "RUN", default_value = "runs/default")]
        run: PathBuf,
        /// An empty folder, or one to be made
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// One .npz a rollout, or all in a triplet of .npy files
        #[arg(long, value_enum, default_value_t = Form::Torchwm)]
        format: Form,
    },
    /// Take V, M or C that PyTorch trained (a state dict saved as safetensors) as the run's own
    ImportWeights {
        #[command(flatten)]
        run: RunArgs,
        /// The safetensors file
        file: PathBuf,
        /// What the network means by an action: has to be said where the environment's range is not [-1, 1]
        #[arg(long, value_enum)]
        actions: Option<weights::Actions>,
        /// Order of M's input
        #[arg(long, value_enum, default_value_t)]
        input: weights::InputOrder,
        /// What the second block of M's head is
        #[arg(long, value_enum, default_value_t)]
        sigma: weights::Sigma,
        /// Floor of M's log σ
        #[arg(long, default_value_t = weights::Options::default().log_sigma_min, allow_negative_numbers = true)]
        log_sigma_min: f32,
        /// V's normalised observations are clipped to ± this [default: they are not]
        #[arg(long)]
        obs_clip: Option<f32>,
        /// Replace what RUN has
        #[arg(long)]
        force: bool,
    },
    /// Train the networks and the controller on what was recorded (an interrupted training is resumed)
    Train {
        #[command(flatten)]
        run: RunArgs,
        /// What to train; `all` is vae, then mdnrnn, then controller
        #[arg(long, value_enum, default_value_t = Stage::All)]
        stage: Stage,
        /// Train anew where a result exists, or a training was interrupted
        #[arg(long)]
        force: bool,
        /// The teacher policy that C begins as: a packed agent, of whatever V and M; it is copied into RUN
        #[arg(long, value_name = "FILE")]
        teacher: Option<PathBuf>,
        /// Where V and M are trained, and where libtorch dreams (dream.engine): cpu, cuda (the first NVIDIA GPU) or cuda:N
        #[arg(long, default_value = "cpu", value_parser = str::parse::<Device>)]
        device: Device,
    },
    /// Record, train, record again with the trained agent, train again …: each round a run of its own, RUN/round-1, RUN/round-2, …
    ///
    /// Round 1 records `collect.steps` as `collect.policy` says. Each later round has the episodes of the round before and adds
    /// `rounds.steps` of its agent's, fits V and M again, and evolves C from what that agent does. An interrupted one is resumed.
    Rounds {
        #[command(flatten)]
        run: RunArgs,
        /// Rounds in all; more than last time add to what is there
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
        rounds: u32,
        /// Episodes that evaluate each round's agent, reset(1000) and on
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        episodes: u32,
        /// The teacher policy that C begins as in every round, instead of the agent of the round before: a packed agent of whatever V and M, or
        /// one that sees the state behind the pictures; it is copied into RUN
        #[arg(long, value_name = "FILE")]
        teacher: Option<PathBuf>,
        /// Where V and M are trained, and where libtorch dreams (dream.engine): cpu, cuda (the first NVIDIA GPU) or cuda:N
        #[arg(long, default_value = "cpu", value_parser = str::parse::<Device>)]
        device: Device,
    },
    /// Make one file for the robot out of the run's networks and controller, with self-test vectors
    Pack {
        #[command(flatten)]
        run: RunArgs,
        /// Take this packed agent instead of RUN's V, M and C: one of an older format becomes one of today's, in its own precision; an f32
        /// one another precision
        #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "preset", "config", "overrides"])]
        agent: Option<PathBuf>,
        /// Replace a V that only copies its input (which older versions made of `vae.start = "identity"`) by the identity, which costs
        /// nothing. Its latents, and so its actions, are no longer rounded by the copy: the agent is another in the last digits
        #[arg(long, requires = "agent")]
        identity: bool,
        /// Put V's decoder of pictures into the file, too: dreams can be looked at then. It is some times as large as the rest
        #[arg(long, conflicts_with = "agent")]
        decoder: bool,
        /// Number of a weight; any but f32 is compared with f32 afterwards
        #[arg(long, default_value = "f32", value_parser = one_of(&Precision::ALL, Precision::name))]
        precision: Precision,
        /// Where to write it [default: RUN/agent.safetensors; another precision stands in the name, as in agent.i8.safetensors]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Episodes of the comparison with f32; 0 for none
        #[arg(long, default_value_t = 100)]
        episodes: u32,
        /// The comparison's first episode is `reset(SEED)`
        #[arg(long, default_value_t = 1000)]
        seed: u64,
        /// Worker threads; 0 means one per core
        #[arg(long, default_value_t = 0, value_parser = threads())]
        threads: usize,
        /// Print the comparison as JSON
        #[arg(long)]
        json: bool,
    },
    /// Play many episodes on fixed seeds and report return, length and distance: means with standard errors, and interquartile means with
    /// 95 % bootstrap intervals
    Evaluate {
        #[command(flatten)]
        agent: AgentArgs,
        /// Episodes
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        episodes: u32,
        /// Episode i is reset(seed + i)
        #[arg(long, default_value_t = 1000)]
        seed: u64,
        /// Also play the random policy and the zero action
        #[arg(long)]
        baselines: bool,
        /// Worker threads; 0 takes every core. The result does not depend on it
        #[arg(long, default_value_t = 0, value_parser = threads())]
        threads: usize,
        /// Print JSON, every episode included
        #[arg(long)]
        json: bool,
    },
    /// Run the control loop: observation, act, command out, advance; report latencies and missed deadlines
    Run {
        #[command(flatten)]
        agent: AgentArgs,
        /// Episodes, one after the other
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
        episodes: u64,
        /// Episode i is reset(seed + i)
        #[arg(long, default_value_t = 1000)]
        seed: u64,
        /// Keep to the wall clock (Humanoid-v5: 66.7 ticks a second)
        #[arg(long)]
        realtime: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Film an episode: true state, rebuilt from the observation, from the decoded latent, and a dream beside it
    ///
    /// An mp4 needs the program ffmpeg, a GIF nothing. No GPU or window system is needed, but EGL is (Debian: libegl1 libgl1-mesa-dri).
    Render {
        /// The run's folder: its environment, its V and M, its agent
        #[arg(long, value_name = "RUN", default_value = "runs/default")]
        run: PathBuf,
        /// The packed agent [default: RUN/agent.safetensors]
        #[arg(long, value_name = "FILE")]
        agent: Option<PathBuf>,
        /// Environment id [default: that of --agent, else RUN's]
        #[arg(long)]
        env: Option<String>,
        /// The policy that acts, on the real environment and in the dream
        #[arg(long, value_enum, default_value_t = render::Actor::Agent)]
        policy: render::Actor,
        /// The episode is reset(SEED); names the dream's draws, too
        #[arg(long, default_value_t = 1000)]
        seed: u64,
        /// Steps at most; 0 for the whole episode
        #[arg(long, value_name = "N", default_value_t = 0)]
        steps: u32,
        /// Width and height of a panel, in pixels
        #[arg(long, value_name = "WxH", default_value = "320x240", value_parser = |text: &str| render::parse_size(text))]
        size: [usize; 2],
        /// Frames for a second of simulated time
        #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=50))]
        fps: u32,
        /// Of the dream: above 1 its variance is higher than M learnt, below 1 lower
        #[arg(long, default_value_t = 1.0, value_parser = |text: &str| render::parse_temperature(text))]
        temperature: f32,
        /// What to show, from left to right
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = render::Panel::ALL)]
        panels: Vec<render::Panel>,
        /// Where to write it, as mp4 or GIF by its extension [default: RUN/render.mp4 where ffmpeg is, else RUN/render.gif]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Measure V and M on held-out episodes against simple baselines, and C against policies that know nothing; write RUN/report.md
    Report {
        #[command(flatten)]
        run: RunArgs,
        /// Episodes of each policy; 0 for none
        #[arg(long, default_value_t = 100)]
        episodes: u32,
        /// Episode i is reset(seed + i)
        #[arg(long, default_value_t = 1000)]
        seed: u64,
        /// Worker threads; 0 takes every core. The result does not depend on it
        #[arg(long, default_value_t = 0, value_parser = threads())]
        threads: usize,
        /// Fail where a gate is missed, or could not be measured
        #[arg(long)]
        check: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure what each part is worth: controllers on other inputs, evolved from RUN's V and M with equal budgets; write RUN/ablation.md
    ///
    /// Finished arms are kept, others resumed, each in RUN/ablation/<arm>. Another method's
    /// RUN/ablation/<name>/result.json is a row of the table, too (python/ppo_baseline.py writes one).
    Ablation {
        #[command(flatten)]
        run: RunArgs,
        /// Which; the usual table by default
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Arm::USUAL)]
        arms: Vec<Arm>,
        /// Episodes of each
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        episodes: u32,
        /// Episode i is reset(seed + i)
        #[arg(long, default_value_t = 1000)]
        seed: u64,
        /// C begins as RUN's teacher (`train --teacher`) in every arm that is not evolved in dreams
        #[arg(long)]
        taught: bool,
        /// Make the arms anew
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure how well dreams rank controllers: multiples and perturbations of RUN's C, in dreams at several temperatures and on real episodes; write
    /// RUN/correlation.md
    ///
    /// A controller dreams `dream.validation_dreams` dreams a temperature. `[dream]` says how; where C was evolved makes no difference.
    Correlate {
        #[command(flatten)]
        run: RunArgs,
        /// Of the dreams: above 1 their variance is higher than M learnt, below 1 lower
        #[arg(long, value_delimiter = ',', default_values_t = [0.1, 0.5, 1.0, 1.15, 1.3], value_parser = temperature)]
        temperatures: Vec<f64>,
        /// Real episodes of each controller
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
        episodes: u32,
        /// Episode i is reset(seed + i)
        #[arg(long, default_value_t = 1000)]
        seed: u64,
        /// Perturbations of each kind: 13 + 39 N controllers, 2 + 39 N where a linear C chooses
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
        draws: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what is in a packed agent or a checkpoint, and replay its self-test on every back end
    Inspect {
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The run's folder
    #[arg(long, value_name = "RUN", default_value = "runs/default")]
    pub(crate) run: PathBuf,
    /// Start from these values instead of RUN/config.toml
    #[arg(long, value_enum)]
    pub(crate) preset: Option<Preset>,
    /// Read a TOML file over them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Override one value, e.g. --set vae.epochs=5 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[derive(Args)]
pub(crate) struct AgentArgs {
    /// A packed agent
    #[arg(long, value_name = "FILE")]
    pub(crate) agent: PathBuf,
    /// Environment id [default: what the agent was made for]
    #[arg(long)]
    pub(crate) env: Option<String>,
    /// Step the agent on this back end instead of the widest; the result is the same, bit for bit
    #[arg(long, value_parser = one_of(&Backend::ALL, Backend::name))]
    pub(crate) backend: Option<Backend>,
}

/// A positive number.
fn temperature(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|t: &f64| *t > 0.0 && t.is_finite());
    found.ok_or_else(|| "expected a number above 0".into())
}

/// Accepts the names of `all`, and nothing else.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&value| name(value)))
        .try_map(move |found| all.iter().copied().find(|&value| name(value) == found).ok_or("not one of them"))
}

/// A number of threads, 0 for one per core.
fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=MAX_THREADS as u64)
}

/// Options that a command which resumes does not need: their values are on record in the run, and so is what `--force` was for.
const ON_RECORD: [&str; 4] = ["preset", "config", "overrides", "force"];

/// What resumes a command that is interrupted, said when it is: by then its run may have a configuration on record, or none yet.
pub(crate) struct ResumeHint<'a>(pub(crate) &'a ArgMatches);

impl std::fmt::Display for ResumeHint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = self.0.subcommand().map(|(_, given)| given);
        let run = given.and_then(|given| given.try_get_one::<PathBuf>("run").ok().flatten());
        f.write_str(&resume_hint(self.0, run.is_some_and(|run| RunDir::new(run).config().exists())))
    }
}

/// What resumes the command that `matches` are of: every option that was given and is not on record.
fn resume_hint(matches: &ArgMatches, is_on_record: bool) -> String {
    let Some((name, given)) = matches.subcommand() else { return String::new() };
    let command = Cli::command();
    let known = command.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
    let (run, others): (Vec<_>, Vec<_>) = known.partition(|argument| argument.get_id() == "run");
    let mut text = format!("to go on: dreamstep {name}");
    for argument in others.into_iter().chain(run) {
        let id = argument.get_id().as_str();
        let was_given =
            given.value_source(id) == Some(ValueSource::CommandLine) && !(is_on_record && ON_RECORD.contains(&id));
        if !was_given && id != "run" {
            continue;
        }
        if let Some(long) = argument.get_long() {
            text += &format!(" --{long}");
        }
        if argument.get_action().takes_values() {
            let values: Vec<_> = given.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy()).collect();
            let value = values.join(&argument.get_value_delimiter().unwrap_or(' ').to_string());
            // One that begins with a dash would be read as an option.
            text += if value.starts_with('-') && argument.get_long().is_some() { "=" } else { " " };
            text += &shell_word(&value);
        }
    }
    text
}

/// `text` as a shell reads it back.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hint for `line`, which begins with the command's name.
    fn hint(line: &[&str]) -> String {
        resume_hint(&Cli::command().get_matches_from(line), true)
    }

    #[test]
    fn before_anything_is_on_record_what_resumes_a_command_repeats_all() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().to_str().unwrap();
        let matches =
            Cli::command().get_matches_from(["dreamstep", "collect", "--config", "a.toml", "--set=seed=3", "--run", run]);
        let nothing = format!("to go on: dreamstep collect --config a.toml --set seed=3 --run {run}");
        assert_eq!(ResumeHint(&matches).to_string(), nothing);
        std::fs::write(folder.path().join("config.toml"), "").unwrap();
        assert_eq!(ResumeHint(&matches).to_string(), format!("to go on: dreamstep collect --run {run}"));
    }

    #[test]
    fn what_resumes_a_command_repeats_every_option_that_is_not_on_record() {
        let line = [
            "dreamstep",
            "rounds",
            "--run",
            "my run",
            "--rounds",
            "2",
            "--episodes",
            "3",
            "--set",
            "seed=1",
            "--preset",
            "quick",
        ];
        assert_eq!(hint(&line), "to go on: dreamstep rounds --rounds 2 --episodes 3 --run 'my run'");
        let line = [
            "dreamstep",
            "train",
            "--force",
            "--stage",
            "vae",
            "--teacher",
            "it's",
            "--device",
            "cuda:1",
            "--config",
            "x.toml",
        ];
        assert_eq!(
            hint(&line),
            "to go on: dreamstep train --stage vae --teacher 'it'\\''s' --device cuda:1 --run runs/default"
        );
        let line = ["dreamstep", "collect", "--append", "--agent", "a", "--run", "r"];
        assert_eq!(hint(&line), "to go on: dreamstep collect --append --agent a --run r");
        let line = ["dreamstep", "ablation", "--arms", "z,h", "--force", "--json", "--seed", "7"];
        assert_eq!(hint(&line), "to go on: dreamstep ablation --arms z,h --seed 7 --json --run runs/default");
    }

    /// What the hint says is read as the command was, but for what is on record.
    #[test]
    fn every_option_of_a_command_that_resumes_is_in_its_hint_or_on_record() {
        let command = Cli::command();
        for name in ["collect", "train", "rounds", "ablation"] {
            for argument in command.find_subcommand(name).unwrap().get_arguments() {
                let (id, Some(long)) = (argument.get_id().as_str(), argument.get_long()) else { continue };
                let value = match id {
                    "help" | "version" => continue,
                    "preset" => "quick",
                    "device" => "cpu",
                    "stage" => "vae",
                    "arms" => "z",
                    _ => "3",
                };
                let option = format!("--{long}");
                let mut line = vec!["dreamstep", name, &option];
                line.extend(argument.get_action().takes_values().then_some(value));
                line.extend((name == "rounds" && id != "rounds").then_some("--rounds=2"));
                assert_eq!(hint(&line).contains(&option), !ON_RECORD.contains(&id), "{line:?}: {}", hint(&line));
            }
        }
    }
}
