//! `gym:ID`, `gym:MODULE:ID`: any environment that Gymnasium can make, in a Python process of its own.
//!
//! ```text
//! Bridge ── request ──▶ socket ──▶ bridge.py: gymnasium.make(ID, **kwargs) ── reset, step ──▶ flat observation [O], reward, flags ──▶ Bridge
//! ```
//!
//! Each environment, and so each worker thread, has a child of its own. Observations are flattened as `gymnasium.spaces.flatten` does; the
//! child checks everything that an environment returns against Gymnasium's rules, this side that numbers are finite. A [`Fault`] ends the
//! child; the next reset starts another. A child that is not needed any more waits for the next environment of the same configuration.

mod child;
mod protocol;

use super::{ActionSpace, Env, EnvConfig, EnvSpec, Eye, Fault, Step, eye, interpreter};
use crate::run::interrupt::Interrupted;
use anyhow::{Context, Result, anyhow, bail, ensure};
use child::{Child, Lost};
use protocol::{Actions, Answer, Dtype, Hello, Kind, Leaf, Operation, PROTOCOL};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What an id of Gymnasium's begins with.
pub(super) const PREFIX: &str = "gym:";
/// The far side: one program.
const SCRIPT: &str = concat!(include_str!("spaces.py"), "\n\n", include_str!("bridge.py"));
/// What importing Gymnasium and making an environment may take.
const START: Duration = Duration::from_secs(120);

/// Children that wait for an environment of their configuration, with pictures or without.
static IDLE: Mutex<Vec<(EnvConfig, bool, Started)>> = Mutex::new(Vec::new());
/// What is known of environments: a child was asked once.
static SPECS: Mutex<Vec<(EnvConfig, EnvSpec)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child with its environment made.
struct Started {
    child: Child,
    hello: Hello,
}

/// One of Gymnasium's environments.
pub struct Bridge {
    env: EnvConfig,
    /// Whether it can be looked at.
    pictures: bool,
    spec: EnvSpec,
    hello: Hello,
    /// Where an observation is a picture.
    eye: Option<Eye>,
    /// None after a fault, until the next reset.
    child: Option<Child>,
    /// An action's bytes.
    action: Vec<u8>,
}

/// What an environment looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `[height, width, 3]`
    pub rgb: Vec<u8>,
}

/// The specification of `env`, for which a child is started the first time.
///
/// # Errors
/// As [`Bridge::new`].
pub(super) fn spec(env: &EnvConfig) -> Result<EnvSpec> {
    if let Some((_, spec)) = lock(&SPECS).iter().find(|(known, _)| known == env) {
        return Ok(spec.clone());
    }
    // The child waits for the environment that is going to be made.
    Ok(Bridge::new(env, false)?.spec.clone())
}

impl Bridge {
    /// The environment `env`, whose id begins with `gym:`; one that can be looked at where `pictures` is set.
    ///
    /// # Errors
    /// One line: no Python, Gymnasium or numpy, or one of another version; what `gymnasium.make` raises; a space that has no numbers; an
    /// environment that does not say its time limit or period where the configuration does not either.
    pub fn new(env: &EnvConfig, pictures: bool) -> Result<Self> {
        let Started { child, hello } = Started::new(env, pictures)?;
        let known = lock(&SPECS).iter().find(|(known, _)| known == env).map(|(_, spec)| spec.clone());
        let spec = match known {
            Some(spec) => spec,
            None => {
                let spec = describe(env, &hello)?;
                lock(&SPECS).push((env.clone(), spec.clone()));
                spec
            }
        };
        let eye = spec.image.map(Eye::new).transpose()?;
        Ok(Self { env: env.clone(), pictures, spec, hello, eye, child: Some(child), action: Vec::new() })
    }

    /// What the environment looks like now.
    ///
    /// # Errors
    /// A [`Fault`]: it does not draw itself.
    pub fn picture(&mut self) -> Result<Picture> {
        let payload = self.ask(Operation::Render, &[], Kind::Picture)?.1;
        let (height, rest) = payload.split_first_chunk().context("picture: expected its height")?;
        let (width, rgb) = rest.split_first_chunk().context("picture: expected its width")?;
        let [height, width] = [height, width].map(|size| u32::from_le_bytes(*size) as usize);
        ensure!(rgb.len() == 3 * width * height, "picture: expected {height} × {width} × 3 bytes, found {}", rgb.len());
        Ok(Picture { width, height, rgb: rgb.to_vec() })
    }

    /// The answer to one request; without one the child is gone.
    fn ask(&mut self, operation: Operation, payload: &[u8], expected: Kind) -> Result<(Answer, &[u8])> {
        let doing = match operation {
            Operation::Start => "start",
            Operation::Reset => "reset",
            Operation::Step => "step",
            Operation::Render => "render",
        };
        let Self { env, child, .. } = self;
        let fault = |text: &str| Fault(format!("{}: {text}", env.id)).into();
        let Some(alive) = child else { return Err(fault(&format!("{doing}: expected a reset after the fault"))) };
        // Borrowed for as long as the answer is, or not at all.
        let found = match alive.ask(operation, payload, Duration::from_secs_f64(env.timeout_s)) {
            Ok((answer, _)) if answer.kind == expected => Ok(answer),
            Ok((Answer { kind: Kind::Fault | Kind::Refusal, .. }, line)) => Err(fault(&String::from_utf8_lossy(line))),
            Ok((answer, _)) => Err(fault(&format!("{doing}: expected {expected:?}, found {:?}", answer.kind))),
            Err(Lost::Failed(text)) => Err(fault(&format!("{doing}: {text}"))),
            Err(Lost::Interrupted) => Err(Interrupted.into()),
        };
        match found {
            Ok(answer) => Ok((answer, self.child.as_ref().map_or(&[][..], |child| child.payload(&answer)))),
            Err(error) => {
                self.child = None;
                Err(error)
            }
        }
    }

    /// The answer's observation into `obs [O]`.
    fn observe(&mut self, operation: Operation, payload: &[u8], obs: &mut [f64]) -> Result<Step> {
        let (dtype, length) = (self.hello.dtype, self.hello.observation.iter().map(|leaf| leaf.length).sum::<usize>());
        // Borrowed beside the answer, which is the child's.
        let mut eye = self.eye.take();
        let answered = self.ask(operation, payload, Kind::State).map(|(answer, bytes)| {
            let read = match &mut eye {
                Some(eye) => eye.see(bytes, obs),
                None => read(dtype, bytes, obs),
            };
            (answer, read)
        });
        self.eye = eye;
        let (answer, read) = answered?;
        // Bytes always are. What binary32 cannot hold, in which all of this is recorded and acted on, is not.
        let wrong = (dtype != Dtype::Uint8).then(|| obs.iter().position(|value| !(*value as f32).is_finite())).flatten();
        let Answer { reward, terminated, truncated, .. } = answer;
        let wrong = match (read, wrong) {
            (false, _) => Some(format!("an observation of {length} numbers, found {} bytes", answer.length)),
            (true, Some(at)) => Some(format!("{} to be finite, found {}", place(&self.hello.observation, at), obs[at])),
            (true, None) if !reward.is_finite() => Some(format!("a finite reward, found {reward}")),
            _ => None,
        };
        match wrong {
            None => Ok(Step { reward, terminated, truncated }),
            Some(wrong) => {
                self.child = None;
                let doing = if operation == Operation::Reset { "reset" } else { "step" };
                Err(Fault(format!("{}: {doing}: expected {wrong}", self.env.id)).into())
            }
        }
    }
}

impl Env for Bridge {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, seed: u64, obs: &mut [f64]) -> Result<()> {
        self.spec.check_obs(obs)?;
        if self.child.is_none() {
            let Started { child, hello } = Started::new(&self.env, self.pictures)?;
            ensure!(hello == self.hello, "{}: expected the environment that it was, found another: {hello:?}", self.env.id);
            self.child = Some(child);
        }
        self.observe(Operation::Reset, &seed.to_le_bytes(), obs).map(drop)
    }

    fn step(&mut self, action: &[f32], obs: &mut [f64]) -> Result<Step> {
        self.spec.check_obs(obs)?;
        self.spec.check_action(action)?;
        let mut bytes = std::mem::take(&mut self.action);
        bytes.clear();
        bytes.extend(action.iter().flat_map(|value| value.to_le_bytes()));
        let step = self.observe(Operation::Step, &bytes, obs);
        self.action = bytes;
        step
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            lock(&IDLE).push((self.env.clone(), self.pictures, Started { child, hello: self.hello.clone() }));
        }
    }
}

impl Started {
    /// One that waits, or a new one.
    fn new(env: &EnvConfig, pictures: bool) -> Result<Self> {
        loop {
            let mut idle = lock(&IDLE);
            let Some(at) = idle.iter().position(|(known, has, _)| known == env && *has == pictures) else { break };
            let (_, _, mut started) = idle.swap_remove(at);
            drop(idle);
            // It may have been killed while it waited.
            if started.child.lives() {
                return Ok(started);
            }
        }
        let EnvConfig { id, .. } = env;
        let name = id.strip_prefix(PREFIX).unwrap_or(id);
        let asked = protocol::start(env, name, pictures)?;
        let python = interpreter(env);
        let mut child = Child::start(&python, SCRIPT)
            .map_err(|error| anyhow!("{id}: cannot start {}: {error} (env.python names another)", python.display()))?;
        let (answer, payload) = match child.ask(Operation::Start, asked.as_bytes(), START) {
            Ok(answered) => answered,
            Err(Lost::Failed(text)) => bail!("{id}: start of {}: {text}", python.display()),
            Err(Lost::Interrupted) => return Err(Interrupted.into()),
        };
        match answer.kind {
            Kind::Spec => {}
            Kind::Refusal | Kind::Fault => bail!("{id}: {}", String::from_utf8_lossy(payload)),
            kind => bail!("{id}: expected a specification, found {kind:?}"),
        }
        let hello: Hello = serde_json::from_slice(payload).with_context(|| format!("{id}: specification"))?;
        ensure!(hello.protocol == PROTOCOL, "{id}: expected bridge protocol {PROTOCOL}, found {}", hello.protocol);
        Ok(Self { child, hello })
    }
}

/// What `hello` and `env` say together.
fn describe(env: &EnvConfig, hello: &Hello) -> Result<EnvSpec> {
    let id = env.id.clone();
    let image = eye::image(env, hello.image)?;
    let length = |leaf: &Leaf| image.map_or(leaf.length, |image| image.len());
    let blocks: Vec<(String, usize)> = hello.observation.iter().map(|leaf| (leaf.name.clone(), length(leaf))).collect();
    let time_limit = hello.time_limit.filter(|&limit| limit > 0);
    let Some(time_limit) = time_limit else { bail!("{id}: has no limit of steps: expected env.time_limit, found 0") };
    let dt_s = if env.period_s > 0.0 { Some(env.period_s) } else { hello.dt_s };
    let Some(dt_s) = dt_s else { bail!("{id}: says no seconds of a step: expected env.period_s, found 0") };
    let actions = match &hello.action {
        &Actions::Discrete { discrete } => ActionSpace::Discrete { choices: discrete },
        Actions::Continuous { low, high } => ActionSpace::Continuous { low: low.clone(), high: high.clone() },
    };
    Ok(EnvSpec {
        obs: blocks.iter().map(|(_, length)| length).sum(),
        image,
        healthy_bonus: 0.0,
        id,
        actions,
        dt_s,
        time_limit,
        blocks,
    })
}

/// Reads an observation `[O]`; false where the bytes are of another length.
fn read(dtype: Dtype, bytes: &[u8], obs: &mut [f64]) -> bool {
    match dtype {
        Dtype::Uint8 => {
            obs.iter_mut().zip(bytes).for_each(|(o, &byte)| *o = f64::from(byte));
            bytes.len() == obs.len()
        }
        Dtype::Float32 => {
            let (chunks, rest) = bytes.as_chunks();
            obs.iter_mut().zip(chunks).for_each(|(o, &chunk)| *o = f64::from(f32::from_le_bytes(chunk)));
            chunks.len() == obs.len() && rest.is_empty()
        }
        Dtype::Float64 => {
            let (chunks, rest) = bytes.as_chunks();
            obs.iter_mut().zip(chunks).for_each(|(o, &chunk)| *o = f64::from_le_bytes(chunk));
            chunks.len() == obs.len() && rest.is_empty()
        }
    }
}

/// What stands at `at` in an observation: its part's name, and where in it.
fn place(leaves: &[Leaf], mut at: usize) -> String {
    for Leaf { name, length, .. } in leaves {
        if at < *length {
            return format!("observation `{name}`[{at}]");
        }
        at -= length;
    }
    format!("observation[{at}]")
}
