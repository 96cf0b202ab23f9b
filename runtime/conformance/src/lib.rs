//! Does this target compute the same bits? One suite for all: a robot's microcontroller, a browser, a server. It reduces what an
//! agent computes to digests, and a target conforms if it prints those of `digests.txt`, which the portable back end made.
//!
//! | check | digest of |
//! |---|---|
//! | `exp`, `tanh`, … (agent `maths`) | the function over inputs of every exponent, both signs, infinities and NaN |
//! | `act` | one action |
//! | `advance` | the recurrent state after one step (an LSTM's; agent `gated` has a GRU) |
//! | `mixture` | what the MDN head makes of that state |
//! | `1000-steps` | the recurrent state after 1,000 steps |
//! | `100-samples` | a sampled next latent after each of 100 further steps |
//! | `dream` | where a dream of 1,000 ticks ended |
//! | `dreams-1`, `dreams-7`, `dreams-64` | where each dream of a batch stood after 20 ticks |
//! | `100-actions` (agents for one kind of a part) | the actions of 100 steps, and the recurrent state after them |
//! | `surprise` (of them, those that predict) | how surprised M was at 20 of those steps |
//! | `7-dreams` (of them, those that dream) | where each of seven dreams stood after 20 ticks |
//! | `4-frames` (agent `paper`) | the actions of 4 steps on frames of 64 × 64 × 3, and the recurrent state after them |
//! | `16-steps` (agent `shipped`) | the shipped Humanoid agent's recurrent state after 16 steps |
//!
//! Observations are Philox draws, so nothing but the agents is stored. `make cross` runs the suite on every target that can be
//! emulated; `cargo test -p dreamstep-conformance` runs it on this machine's back ends. Where a new check or agent adds lines,
//! `cargo run --release -p dreamstep-conformance --features humanoid portable > runtime/conformance/digests.txt` makes the table
//! anew; where lines change, values broke.
#![no_std]
#![forbid(unsafe_code)]

mod recipes;

pub use dreamstep_core::digest::Digest;
use dreamstep_core::maths;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_runtime::{
    Agent, Backend, Dims, DreamBatch, DreamOptions, DreamStart, Model, Termination, dreams_memory_len, memory_len,
};

use recipes::AGENTS;

/// Bytes on a 64-byte boundary.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

macro_rules! embedded {
    ($name:literal) => {{
        static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name)));
        &FILE.0
    }};
}

/// A packed agent.
struct File {
    recipe: usize,
    precision: &'static str,
    bytes: &'static [u8],
}

impl File {
    const fn agent(&self) -> &'static str {
        AGENTS[self.recipe].0
    }

    const fn dims(&self) -> &'static Dims {
        &AGENTS[self.recipe].2
    }
}

/// What `build.rs` packed.
const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Of it, the agent with a GRU: on its own, so that a program that runs it alone holds no other.
const GATED: &[File] = include!(concat!(env!("OUT_DIR"), "/gated.rs"));

/// Draws observations and samples.
const RNG: Philox = Philox::new(7);

/// How many `f32` [`run`] works in.
pub const MEMORY: usize = {
    let (mut most, mut i) = (0, 0);
    while i < FILES.len() {
        let needed = memory_needed(FILES[i].dims());
        if needed > most {
            most = needed;
        }
        i += 1;
    }
    let paper = if cfg!(feature = "humanoid") { memory_needed(&PAPER) } else { 0 };
    if paper > most { paper } else { most }
};

/// The agent's own or that of the largest batch of dreams, and room for an observation, an action and a latent vector.
const fn memory_needed(dims: &Dims) -> usize {
    let (agent, dreams) = (memory_len(dims), dreams_memory_len(dims, BATCHES[BATCHES.len() - 1].1));
    observation_len(dims) + dims.action_len() + dims.latent_len() + if agent > dreams { agent } else { dreams }
}

/// Numbers of an observation; none of a picture, of which there is a frame.
const fn observation_len(dims: &Dims) -> usize {
    match dims.obs.image() {
        Some(_) => 0,
        None => dims.obs_len(),
    }
}

/// Batches of dreams, the largest last.
const BATCHES: [(&str, usize); 3] = [("dreams-1", 1), ("dreams-7", 7), ("dreams-64", 64)];

/// Runs every check on `backend` and tells `emit` the agent, the precision, the check and the digest. `memory` holds at least
/// [`MEMORY`] values.
///
/// # Panics
/// Where the runtime refuses what it must accept: the suite has failed then. Also where this processor lacks the back end.
pub fn run(backend: Backend, memory: &mut [f32], emit: &mut dyn FnMut(&str, &str, &str, u64)) {
    functions(&mut |check, digest| emit("maths", "f32", check, digest));
    for file in FILES {
        let model = Model::load_with(file.bytes, backend).expect("the suite's agents are valid");
        let mut emit = |check: &str, digest| emit(file.agent(), file.precision, check, digest);
        match file.agent() {
            "small" | "smooth" | "gated" | "humanoid" => agent(&model, memory, &mut emit),
            _ => kind(&model, memory, &mut emit),
        }
    }
    #[cfg(feature = "humanoid")]
    {
        let model = Model::load_with(PAPER_I8, backend).expect("the suite's agents are valid");
        let mut agent = Agent::new(model, memory).expect("MEMORY is enough");
        let (mut digest, mut action) = (Digest::default(), [0.0; PAPER.action_len()]);
        for t in 0..PAPER_STEPS {
            look(&mut agent, t, &mut action);
            digest = digest.update(&action);
            agent.advance().expect("act came before");
        }
        emit("paper", "i8", "4-frames", digest.update_bytes(&agent.self_test_digest().to_le_bytes()).value());
    }
    #[cfg(feature = "humanoid")]
    for (precision, bytes) in [("f32", dreamstep_fixtures::HUMANOID), ("i8", SHIPPED_I8)] {
        let model = Model::load_with(bytes, backend).expect("the shipped agent is valid");
        let (observation, memory) = memory.split_at_mut(model.dims().obs_len());
        let (action, memory) = memory.split_at_mut(model.dims().action_len());
        let mut agent = Agent::new(model, memory).expect("MEMORY is enough");
        for t in 0..SHIPPED_STEPS {
            observe(t, observation);
            agent.step(observation, action).expect("the observation is valid");
        }
        emit("shipped", precision, "16-steps", agent.digest());
    }
}

/// The suite's agent with a GRU: its sizes, and its files by precision.
pub fn gated() -> impl Iterator<Item = (&'static str, Dims, &'static [u8])> {
    GATED.iter().map(|file| (file.precision, *file.dims(), file.bytes))
}

/// The shipped agent in i8.
pub static SHIPPED_I8: &[u8] = embedded!("shipped.i8.safetensors");

/// Ha & Schmidhuber's agent of pictures, of frames of 64 × 64 × 3.
pub const PAPER: Dims = recipes::PAPER;

/// Bytes of the largest frame.
pub const FRAME: usize = 64 * (64 * 3 + 1);

/// [`PAPER`] in i8, with random weights.
pub static PAPER_I8: &[u8] = embedded!("paper.i8.safetensors");

/// Length of its check.
pub const PAPER_STEPS: u64 = 4;

/// Frame `t`: bytes of the suite's own, rows a byte longer than they need be. Their stride; `frame` holds at least [`FRAME`] bytes.
pub fn picture(dims: &Dims, t: u64, frame: &mut [u8]) -> usize {
    let [_, width, channels] = dims.obs.image().map_or([0; 3], |image| image.frame);
    let mut words = 0..;
    for four in frame.chunks_mut(4) {
        let [word, ..] = RNG.words(Stream::SyntheticObservation, t, words.next().unwrap_or_default());
        four.iter_mut().zip(word.to_le_bytes()).for_each(|(byte, random)| *byte = random);
    }
    width * channels + 1
}

/// Acts on frame `t`.
fn look(agent: &mut Agent<'_, '_>, t: u64, action: &mut [f32]) {
    let mut frame = [0; FRAME];
    let stride = picture(agent.model().dims(), t, &mut frame);
    agent.act_image(&frame, stride, action).expect("the frame is whole");
}

/// Length of the shipped agent's check.
pub const SHIPPED_STEPS: u64 = 16;

/// Observation `t`, uniform in ±3.
pub fn observe(t: u64, observation: &mut [f32]) {
    for (i, value) in observation.iter_mut().enumerate() {
        *value = 6.0 * RNG.uniform(Stream::SyntheticObservation, t, i as u32) - 3.0;
    }
}

/// The functions of [`dreamstep_core::maths`], one lane at a time.
fn functions(emit: &mut dyn FnMut(&str, u64)) {
    // A prime stride over all bit patterns.
    let mut function = |name, f: fn(f32) -> f32| {
        let inputs = (0..=u32::MAX).step_by(1_000_003).map(f32::from_bits);
        emit(name, inputs.fold(Digest::default(), |digest, x| digest.update(&[f(x)])).value());
    };
    function("exp", maths::exp);
    function("sigmoid", maths::sigmoid);
    function("tanh", maths::tanh);
    function("ln", maths::ln);
    // Of the numbers that have one: for the others it gives NaN, but not the one NaN that the others give.
    function("sqrt", |x| maths::Lane::sqrt(if x >= 0.0 { x } else { 0.0 }));

    let mut normal = [0.0; 64];
    let digest = (0..64).fold(Digest::default(), |digest, step| {
        RNG.fill_normal(Stream::Latent, step, &mut normal);
        digest.update(&normal)
    });
    emit("normal", digest.value());
}

/// The checks of one agent.
fn agent(model: &Model<'_>, memory: &mut [f32], emit: &mut dyn FnMut(&str, u64)) {
    let dims = *model.dims();
    let (observation, memory) = memory.split_at_mut(dims.obs_len());
    let (action, memory) = memory.split_at_mut(dims.action_len());
    let (z, memory) = memory.split_at_mut(dims.latent_len());
    let mut agent = Agent::new(*model, &mut *memory).expect("MEMORY is enough");

    observe(0, observation);
    agent.act(observation, action).expect("the observation is valid");
    emit("act", Digest::of(action));
    agent.advance().expect("act came before");
    emit("advance", agent.digest());

    let prediction = agent.predict().expect("the suite's agents have an MDN head");
    let mut digest = Digest::default().update(&[prediction.reward(), prediction.terminal_probability()]);
    for k in 0..dims.mixtures() {
        for i in 0..dims.latent_len() {
            digest = digest.update(&[prediction.weight(k, i), prediction.mean(k, i), prediction.sigma(k, i)]);
        }
    }
    emit("mixture", digest.value());

    for t in 1..1_000 {
        observe(t, observation);
        agent.step(observation, action).expect("the observation is valid");
    }
    emit("1000-steps", agent.digest());

    let mut samples = Digest::default();
    for t in 1_000..1_100 {
        observe(t, observation);
        agent.step(observation, action).expect("the observation is valid");
        let prediction = agent.predict().expect("the suite's agents have an MDN head");
        prediction.sample_latent(1.15, RNG, t, z);
        samples = samples.update(z);
    }
    emit("100-samples", samples.value());

    // Dreams begin where the agent's newest observation is.
    z.copy_from_slice(agent.latent());
    let options = DreamOptions { seed: 7, temperature: 1.15, termination: Termination::Never };
    let mut dreams = DreamBatch::new(*model, &mut *memory, 1, options).expect("MEMORY is enough");
    dreams.start(0, 0, DreamStart { latent: z, state: None }).expect("the latent is finite");
    for _ in 0..1_000 {
        dreams.step();
    }
    emit("dream", dreams.digest(0));
    for (name, count) in BATCHES {
        let options = DreamOptions { termination: Termination::Sampled, ..options };
        let mut dreams = DreamBatch::new(*model, &mut *memory, count, options).expect("MEMORY is enough");
        for index in 0..count {
            dreams.start(index, index as u32, DreamStart { latent: z, state: None }).expect("the latent is finite");
        }
        for _ in 0..20 {
            dreams.step();
        }
        let all = (0..count).fold(Digest::default(), |all, i| all.update_bytes(&dreams.digest(i).to_le_bytes()));
        emit(name, all.value());
    }
}

/// The checks of an agent that is there for one kind of a part.
fn kind(model: &Model<'_>, memory: &mut [f32], emit: &mut dyn FnMut(&str, u64)) {
    let dims = *model.dims();
    let (observation, memory) = memory.split_at_mut(observation_len(&dims));
    let (action, memory) = memory.split_at_mut(dims.action_len());
    let mut agent = Agent::new(*model, &mut *memory).expect("MEMORY is enough");
    let mut digest = Digest::default();
    let mut surprises = Digest::default();
    for t in 0..100 {
        if dims.obs.image().is_some() {
            look(&mut agent, t, action);
        } else {
            observe(t, observation);
            agent.act(observation, action).expect("the observation is valid");
        }
        digest = digest.update(action);
        if t % 5 == 4 {
            surprises = surprises.update(agent.surprise().as_slice());
        }
        agent.advance().expect("act came before");
    }
    if model.has_mdn() {
        emit("surprise", surprises.value());
    }
    emit("100-actions", digest.update_bytes(&agent.self_test_digest().to_le_bytes()).value());
    if dims.input().has_observation() || !model.has_mdn() {
        return;
    }
    let (z, memory) = memory.split_at_mut(dims.latent_len());
    z.fill(0.5);
    let options = DreamOptions { seed: 7, temperature: 1.15, termination: Termination::Never };
    let mut dreams = DreamBatch::new(*model, memory, 7, options).expect("MEMORY is enough");
    for index in 0..7 {
        dreams.start(index, index as u32, DreamStart { latent: z, state: None }).expect("the latent is finite");
    }
    for _ in 0..20 {
        dreams.step();
    }
    let all = (0..7).fold(Digest::default(), |all, i| all.update_bytes(&dreams.digest(i).to_le_bytes()));
    emit("7-dreams", all.value());
}
