//! `render`: one episode as a film, up to four panels side by side: what happened, what the agent saw of it, and its dream.
//!
//! ```text
//! episode ─┬─ true          the simulator's state
//!          ├─ observation   the state rebuilt from the observation alone                     (rebuild.rs)
//!          ├─ latent        observation ─V→ z ─V→ observation, the state rebuilt from that   (imagined.rs)
//!          └─ dream         first z ─M→ z ─M→ …, each decoded, the state rebuilt             (imagined.rs)
//!                 states ─scene.rs→ frames, captions ─video.rs→ mp4 or GIF
//! ```
//! Where an observation is a picture, there are no states to rebuild: the panels show what V saw, and what it decodes.
//!
//! Frames keep to simulated time: frame k shows the step that is under way k/fps seconds after the start; the last frame is the last step.
//! On one machine, equal inputs give equal GIF bytes.

pub mod caption;
pub mod episode;
pub mod imagined;
pub mod rebuild;
pub mod scene;
pub mod video;

use crate::agent::file;
use crate::agent::pack::{self, Ingredients};
use crate::env::pool::Policy;
use crate::env::{AnyEnv, Env, EnvConfig, Picture, Pose};
use crate::run::config::Config;
use crate::run::folder::RunDir;
use crate::run::interrupt;
use crate::run::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use dreamstep_core::c::ControllerInput;
use dreamstep_core::pack::AlignedBytes;
use dreamstep_runtime::Model;
use episode::Episode;
use imagined::{Codec, Dream, Dreamer, dream_options};
use rebuild::Rebuilder;
use scene::{Image, Scene};
use std::collections::BTreeMap;
use std::path::PathBuf;
use video::{Film, Format};

/// Whose actions are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Actor {
    /// The packed agent's.
    Agent,
    /// Uniform over the action range.
    Random,
    /// None.
    Zero,
}

/// A part of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Panel {
    /// The simulator's state.
    True,
    /// The state that the observation tells of.
    Observation,
    /// The state that V's decoder makes of V's mean latent.
    Latent,
    /// The states that V's decoder makes of a dream.
    Dream,
}

impl Panel {
    /// All, in the order of how far they are from the truth.
    pub const ALL: [Self; 4] = [Self::True, Self::Observation, Self::Latent, Self::Dream];

    /// As the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Observation => "observation",
            Self::Latent => "latent",
            Self::Dream => "dream",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::True => "true state",
            Self::Observation => "from observation",
            Self::Latent => "from latent",
            Self::Dream => "dream",
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The packed agent; else the run's.
    pub agent: Option<PathBuf>,
    /// The environment; else the named agent's, else the run's.
    pub env: Option<EnvConfig>,
    /// The policy that acts.
    pub actor: Actor,
    /// The episode is `reset(seed)`.
    pub seed: u64,
    /// Steps at most; 0 for the whole episode.
    pub steps: u32,
    /// Width and height of a panel.
    pub size: [usize; 2],
    /// Frames for a second of simulated time.
    pub fps: u32,
    /// Of the dream.
    pub temperature: f32,
    /// What is shown, from left to right.
    pub panels: Vec<Panel>,
    /// Where it is written; else into the run's folder.
    pub out: Option<PathBuf>,
}

/// What was rendered.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Steps of the episode.
    pub steps: usize,
    /// Its return.
    pub episode_return: f64,
    /// Steps of the dream, and whether it ended by itself; none without one.
    pub dream: Option<(usize, bool)>,
    /// Frames.
    pub frames: usize,
    /// Width and height of each.
    pub size: [usize; 2],
    /// One line for each reason why a panel is left out.
    pub notes: Vec<String>,
    /// The file.
    pub out: PathBuf,
}

/// One panel's states.
struct Strip {
    panel: Panel,
    /// By step; none where the numbers are no state. A dream's may end early.
    poses: Vec<Option<Pose>>,
    /// By step, of an environment that draws itself.
    pictures: BTreeMap<usize, Image>,
    /// Rewards so far, by step.
    returns: Option<Vec<f64>>,
    /// It ended by itself at its last step.
    ended: bool,
}

/// Plays, rebuilds, decodes, dreams, draws and writes.
///
/// # Errors
/// One line: what is missing or wrong, and what helps. Nothing is written then.
pub fn render(run: &RunDir, options: &Options) -> Result<Summary> {
    let config = if run.config().exists() { Config::default().overlay_file(&run.config(), &[])? } else { Config::default() };
    let out = match &options.out {
        Some(out) => out.clone(),
        None if run.root().is_dir() => run.root().join(format!("render.{}", Format::best().extension())),
        None => bail!("{}: expected a run's folder to write into, found none; name a file with --out", run.root().display()),
    };
    let format = Format::of(&out)?;

    let packed = read_agent(run, options)?;
    let made = environment(options, &packed, &config);
    let mut env = AnyEnv::visible(&made)?;
    let load = |(path, bytes)| -> Result<Model<'_>> {
        let model = file::load(path, bytes, None)?;
        file::check(path, &model, env.spec())?;
        file::warn_of_another_world(path, bytes, &made)?;
        Ok(model)
    };
    let model = packed.as_ref().map(|(path, bytes): &(PathBuf, AlignedBytes)| load((path, bytes))).transpose()?;
    // Before the episode: a machine that cannot draw should say so at once.
    let [width, height] = options.size;
    let mut scene = Scene::new(&env, width, height)?;

    let policy = match (options.actor, &model) {
        (Actor::Agent, Some(model)) => Policy::Agent(model),
        (Actor::Agent, None) => bail!(
            "{}: expected a packed agent, found none; run `dreamstep pack`, name one with --agent, or take --policy random",
            run.agent().display()
        ),
        (Actor::Random, _) => Policy::Random,
        (Actor::Zero, _) => Policy::Zero,
    };
    let named = || packed.as_ref().map_or_else(|| made.id.clone(), |(path, _)| path.display().to_string());
    let mut pictures = BTreeMap::new();
    let shown = Shown { dt_s: env.spec().dt_s, fps: options.fps };
    let look = |env: &mut AnyEnv, step: usize, is_last: bool| {
        // No frame shows the others.
        if is_last || shown.has(step) {
            pictures.extend(env.picture()?.map(|picture| (step, Image::fitting(&picture, width, height))));
        }
        Ok(())
    };
    let episode = Episode::watch(&mut env, policy, options.seed, options.steps, look).with_context(named)?;

    let mut notes = Vec::new();
    let options = &Options { panels: drawable(&options.panels, &env, &mut notes), ..options.clone() };
    let imagined = imagine(run, &config, options, &env, &episode, model.as_ref(), &mut notes)?;
    let strips = strips(options, &env, &episode, pictures, &imagined, shown);
    ensure!(!strips.is_empty(), "nothing to draw: {}", notes.join("; "));

    let numbers = shown.frames(episode.steps());
    let progress = Progress::new("render", numbers.len() as u64, "frames");
    let mut panel = Image::new(width, height);
    let mut draw = |number: usize, frame: &mut Image| {
        interrupt::check()?;
        for (i, strip) in strips.iter().enumerate() {
            strip.draw(numbers[number], &mut scene, &mut panel)?;
            frame.put(&panel, i * width);
            frame.fill([i * width, 0], [usize::from(i > 0), height], [24, 24, 32]);
        }
        progress.set(number as u64 + 1);
        Ok(())
    };
    let size = [width * strips.len(), height];
    Film { size, fps: options.fps, frames: numbers.len(), draw: &mut draw }.write(&out, format)?;
    Ok(Summary {
        steps: episode.steps(),
        episode_return: episode.returns[episode.steps()],
        dream: imagined.dream.map(|(dream, _)| (dream.latents.len() - 1, dream.ended)),
        frames: numbers.len(),
        size,
        notes,
        out,
    })
}

/// The packed agent that was named, or else the run's, where it is.
fn read_agent(run: &RunDir, options: &Options) -> Result<Option<(PathBuf, AlignedBytes)>> {
    let path = options.agent.clone().unwrap_or_else(|| run.agent());
    match options.agent.is_some() || path.exists() {
        true => file::read(&path).map(|bytes| Some((path, bytes))),
        false => Ok(None),
    }
}

/// Which environment: as asked for, or that of an agent that was named, or the run's.
fn environment(options: &Options, packed: &Option<(PathBuf, AlignedBytes)>, config: &Config) -> EnvConfig {
    if let Some(env) = &options.env {
        return env.clone();
    }
    let named = options.agent.as_ref().and(packed.as_ref()).and_then(|(path, bytes)| file::env(path, bytes).ok());
    named.unwrap_or_else(|| config.env.clone())
}

/// The panels that can be drawn: those that are made of observations need one that tells the state. What is left out is noted.
fn drawable(panels: &[Panel], env: &AnyEnv, notes: &mut Vec<String>) -> Vec<Panel> {
    let (drawn, left): (Vec<Panel>, Vec<Panel>) =
        panels.iter().partition(|panel| **panel == Panel::True || env.tells_pose() || env.spec().image.is_some());
    if !left.is_empty() {
        let names: Vec<&str> = left.into_iter().map(Panel::name).collect();
        notes.push(format!("{} left out: an observation of {} does not tell the state", names.join(" and "), env.spec().id));
    }
    drawn
}

/// Observations that V decoded, `[T+1, O]` and `[N+1, O]`.
#[derive(Default)]
struct Imagined {
    latent: Option<Vec<Vec<f64>>>,
    dream: Option<(Dream, Vec<Vec<f64>>)>,
}

/// Decodes what is asked for, as far as V and M are there; what is not is noted.
fn imagine(
    run: &RunDir,
    config: &Config,
    options: &Options,
    env: &AnyEnv,
    episode: &Episode,
    model: Option<&Model<'_>>,
    notes: &mut Vec<String>,
) -> Result<Imagined> {
    let asked = |panel| options.panels.contains(&panel);
    let mut imagined = Imagined::default();
    let wanted: Vec<&str> = [Panel::Latent, Panel::Dream].into_iter().filter(|&p| asked(p)).map(Panel::name).collect();
    if wanted.is_empty() {
        return Ok(imagined);
    }
    if let Err(missing) = pack::expect(&run.vae(), "vae") {
        notes.push(format!("{} left out: {missing}", wanted.join(" and ")));
        return Ok(imagined);
    }
    let codec = Codec::read(&run.vae(), env.spec().obs)?;
    if asked(Panel::Latent) {
        imagined.latent = Some(codec.decode(&codec.encode(&episode.observations)?)?);
    }
    if asked(Panel::Dream) {
        let how = dream_options(options.seed, options.temperature);
        let ear = env.spec().actions.ear();
        let dreamer = match options.actor {
            Actor::Agent => Dreamer::Controller,
            Actor::Random | Actor::Zero => Dreamer::Actions(&ear),
        };
        let dream = match model {
            Some(model) => Dream::of(episode, model, &codec, dreamer, how),
            // No controller is needed: V and M suffice.
            None => pack::expect(&run.mdnrnn(), "mdnrnn").and_then(|()| {
                // Whose controller reads no observations, of which a dream has none: it does not act.
                let mut config = config.clone();
                config.controller.input = ControllerInput::LatentHidden;
                let bytes = pack::base_agent(&Ingredients::read(run)?, &config)?;
                Dream::of(episode, &file::load(&run.mdnrnn(), &bytes, None)?, &codec, dreamer, how)
            }),
        };
        match dream {
            Ok(dream) => {
                let decoded = codec.decode(&dream.latents)?;
                imagined.dream = Some((dream, decoded));
            }
            Err(error) => notes.push(format!("dream left out: {error:#}")),
        }
    }
    Ok(imagined)
}

/// The states of every panel that was asked for and is there.
fn strips(
    options: &Options,
    env: &AnyEnv,
    episode: &Episode,
    pictures: BTreeMap<usize, Image>,
    imagined: &Imagined,
    shown: Shown,
) -> Vec<Strip> {
    let mut pictures = Some(pictures);
    if let Some(frame) = env.spec().frame() {
        let strip = |&panel: &Panel| {
            let (observations, returns, ended) = match panel {
                Panel::True | Panel::Observation => (&episode.observations, Some(&episode.returns), episode.terminated),
                Panel::Latent => (imagined.latent.as_ref()?, None, false),
                Panel::Dream => {
                    let (dream, observations) = imagined.dream.as_ref()?;
                    (observations, Some(&dream.returns), dream.ended)
                }
            };
            let last = observations.len() - 1;
            let drawn = |(step, observation): (usize, &Vec<f64>)| {
                let picture = picture(frame, observation);
                (shown.has(step) || step == last).then(|| (step, Image::fitting(&picture, options.size[0], options.size[1])))
            };
            let pictures = match panel {
                Panel::True => std::mem::take(pictures.as_mut()?),
                _ => observations.iter().enumerate().filter_map(drawn).collect(),
            };
            let returns = returns.filter(|_| panel != Panel::Observation).cloned();
            Some(Strip {
                panel,
                poses: vec![None; last + 1],
                pictures,
                returns,
                ended: ended && panel != Panel::Observation,
            })
        };
        return options.panels.iter().filter_map(strip).collect();
    }
    let decoded = |observations: &[Vec<f64>]| {
        let mut rebuilder = Rebuilder::new(env);
        observations.iter().map(|observation| rebuilder.next_decoded(observation)).collect()
    };
    let mut strip = |&panel: &Panel| {
        let (poses, returns, ended) = match panel {
            Panel::True => {
                (episode.poses.iter().cloned().map(Some).collect(), Some(episode.returns.clone()), episode.terminated)
            }
            Panel::Observation => {
                let mut rebuilder = Rebuilder::new(env);
                (episode.observations.iter().map(|observation| rebuilder.next(observation)).collect(), None, false)
            }
            Panel::Latent => (decoded(imagined.latent.as_ref()?), None, false),
            Panel::Dream => {
                let (dream, observations) = imagined.dream.as_ref()?;
                (decoded(observations), Some(dream.returns.clone()), dream.ended)
            }
        };
        let pictures = if panel == Panel::True { pictures.take() } else { None };
        Some(Strip { panel, poses, pictures: pictures.unwrap_or_default(), returns, ended })
    };
    options.panels.iter().filter_map(&mut strip).collect()
}

/// A frame `[h, w, c]` of numbers from 0 to 255 as a picture: its first three channels, or its first in grey.
fn picture([height, width, channels]: [usize; 3], observation: &[f64]) -> Picture {
    let shown = if channels < 3 { [0; 3] } else { [0, 1, 2] };
    let pixel = |pixel: &[f64]| shown.map(|channel| pixel[channel].clamp(0.0, 255.0).round() as u8);
    Picture { width, height, rgb: observation.chunks_exact(channels).flat_map(pixel).collect() }
}

impl Strip {
    /// The panel at `step`. Past the end it stands still; where there is no state, it shows the last that there was.
    fn draw(&self, step: usize, scene: &mut Scene, image: &mut Image) -> Result<()> {
        let last = self.poses.len() - 1;
        let at = step.min(last);
        match (self.pictures.range(..=at).next_back(), self.poses[..=at].iter().rev().flatten().next()) {
            (Some((_, picture)), _) => image.rgb.copy_from_slice(&picture.rgb),
            (None, Some(pose)) => scene.draw(pose, image)?,
            (None, None) => image.rgb.fill(96),
        }
        let status = match (self.ended && at == last, self.poses[at].is_some() || !self.pictures.is_empty()) {
            (true, _) => format!("ended at step {last}"),
            (false, true) => format!("step {at}"),
            (false, false) => format!("step {at}: no state"),
        };
        let earned = self.returns.as_ref().map(|returns| format!("return {:.1}", returns[at]));
        let lines = [Some(self.panel.title()), Some(status.as_str()), earned.as_deref()];
        let lines: Vec<&str> = lines.into_iter().flatten().collect();
        caption::write(image, &lines, (image.width / 160).max(1));
        Ok(())
    }
}

/// Which steps are shown.
#[derive(Clone, Copy)]
struct Shown {
    dt_s: f64,
    fps: u32,
}

impl Shown {
    /// The step that frame `frame` shows: the one under way so many fps-ths of a second after the start. A step that begins with the frame is
    /// that frame's, whatever the division makes of it.
    fn step(self, frame: u64) -> usize {
        (frame as f64 / (f64::from(self.fps) * self.dt_s) + 1e-9) as usize
    }

    /// Whether a frame shows `step`.
    fn has(self, step: usize) -> bool {
        let about = (step as f64 * f64::from(self.fps) * self.dt_s) as u64;
        (about.saturating_sub(1)..=about + 1).any(|frame| self.step(frame) == step)
    }

    /// The steps that the frames of an episode of `steps` show; at last the last.
    fn frames(self, steps: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..).map(|frame| self.step(frame)).take_while(|&step| step <= steps).collect();
        if numbers.last() != Some(&steps) {
            numbers.push(steps);
        }
        numbers
    }
}

/// `WxH`, in pixels.
///
/// # Errors
/// Another form, or a side outside 32 to 4096.
pub fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.parse().ok().filter(|side| (32..=4096).contains(side));
    let sides = text.split_once('x').and_then(|(width, height)| Some([side(width)?, side(height)?]));
    sides.ok_or_else(|| "expected WIDTHxHEIGHT, each from 32 to 4096, as in 320x240".into())
}

/// A temperature above 0.
///
/// # Errors
/// Not a number, or not above 0.
pub fn parse_temperature(text: &str) -> Result<f32, String> {
    let found = text.parse().ok().filter(|t: &f32| *t > 0.0 && t.is_finite());
    found.ok_or_else(|| "expected a number above 0".into())
}

/// Prints in the way of the other stages: notes first, what was written last.
impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.notes.iter().try_for_each(|note| writeln!(f, "render: {note}"))?;
        let [width, height] = self.size;
        write!(f, "render: {} steps, return {:.1}", self.steps, self.episode_return)?;
        match self.dream {
            Some((steps, true)) => write!(f, ", the dream ended after {steps}")?,
            Some((steps, false)) => write!(f, ", the dream went on for all {steps}")?,
            None => {}
        }
        writeln!(f, "; {} frames of {width}x{height} -> {}", self.frames, self.out.display())
    }
}

#[cfg(test)]
mod tests;
