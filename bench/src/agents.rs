//! The agents that are timed: the shipped one, and two of other sizes with random weights; of each size one with a GRU, too; each in
//! every precision. The shipped walker, as it is and with an MLP that copies for V. And an agent that sees pictures.

use dreamstep_core::names::checkpoint;
use dreamstep_core::obs::Image;
use dreamstep_core::pack::{AlignedBytes, Parts, SelfTest, Unpacked, pack, unpack};
use dreamstep_core::v::Convolutions;
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::{Dims, Encoder, MemoryCell, Precision, Widths};

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// 64 hidden units: weights fit into a first- or second-level cache.
    Small,
    /// The shipped Humanoid-v5 agent: 256 hidden units, 450,000 weights in a step.
    Humanoid,
    /// 1,024 hidden units: 4.6 million weights in a step.
    Large,
}

impl Size {
    /// All of them, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Humanoid, Self::Large];

    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small (64)",
            Self::Humanoid => "humanoid (256)",
            Self::Large => "large (1024)",
        }
    }

    /// Its sizes; all but the memory's are Humanoid's.
    #[must_use]
    pub fn dims(self) -> Dims {
        let hidden = match self {
            Self::Small => 64,
            Self::Humanoid => 256,
            Self::Large => 1024,
        };
        Dims::HUMANOID.with_hidden(hidden)
    }

    /// The packed f32 agent.
    #[must_use]
    pub fn agent(self) -> AlignedBytes {
        match self {
            Self::Humanoid => AlignedBytes::new(HUMANOID),
            Self::Small | Self::Large => synthetic::agent(&self.dims(), 1),
        }
    }

    /// The agent in every precision, f32 first.
    #[must_use]
    pub fn precisions(self) -> Vec<AlignedBytes> {
        self.precisions_with(MemoryCell::Lstm)
    }

    /// The agent, or one of its sizes with a GRU and random weights, in every precision, f32 first.
    #[must_use]
    pub fn precisions_with(self, cell: MemoryCell) -> Vec<AlignedBytes> {
        let agent = match cell {
            MemoryCell::Lstm => self.agent(),
            MemoryCell::Gru => synthetic::agent(&self.dims().with_cell(cell), 1),
        };
        Precision::ALL.into_iter().map(|precision| synthetic::in_precision(&agent, precision)).collect()
    }
}

/// Agents with the paper's encoder on what `image` prepares, random weights, in every precision, f32 first. What is behind the encoder is
/// small: 64 hidden units, a linear C.
#[must_use]
pub fn pictures(image: Image) -> Vec<AlignedBytes> {
    let dims = Dims::pictures(image, 3, Convolutions::PAPER, 32, 64, 5);
    let agent = synthetic::agent(&dims, 1);
    Precision::ALL.into_iter().map(|precision| synthetic::in_precision(&agent, precision)).collect()
}

/// The shipped walker in two forms of its V, and observations of its episodes.
#[derive(Debug)]
pub struct Walker {
    /// As it was trained: V is an MLP that copies the first Z values of its input, by way of `(x + 10) − 10` to pass the ReLUs.
    pub mlp: AlignedBytes,
    /// As it is shipped: V is the identity.
    pub identity: AlignedBytes,
    /// `[T][O]`: those of the file's self-test, which were recorded.
    pub observations: Vec<Vec<f32>>,
}

/// The shipped walker (`fixtures/data/humanoid-walker.safetensors`).
///
/// # Panics
/// Never: the file is a packed f32 agent.
#[must_use]
pub fn walker() -> Walker {
    let identity = AlignedBytes::new(include_bytes!("../../fixtures/data/humanoid-walker.safetensors"));
    let mlp = repacked(&identity, |agent| {
        let (obs, latent) = (agent.settings.dims.obs_len(), agent.settings.dims.latent_len());
        let widths = [256, 128];
        let hidden = Widths::new(&widths).expect("two widths");
        agent.settings.dims = agent.settings.dims.with_encoder(Encoder::Mlp { hidden, latent });
        // Each layer copies the first Z values of what it reads; the first adds the clip, and the last takes it off.
        let offset = agent.settings.obs_clip;
        let layers = [(widths[0], obs, offset), (widths[1], widths[0], 0.0), (2 * latent, widths[1], -offset)];
        for (layer, (rows, columns, bias)) in layers.into_iter().enumerate() {
            let mut weight = vec![0.0; rows * columns];
            (0..latent).for_each(|i| weight[i * columns + i] = 1.0);
            let bias = (0..rows).map(|i| if i < latent { bias } else { 0.0 }).collect();
            agent.tensors.insert(checkpoint::ENCODER_WEIGHT[layer].into(), (vec![rows, columns], weight));
            agent.tensors.insert(checkpoint::ENCODER_BIAS[layer].into(), (vec![rows], bias));
        }
    });
    let SelfTest { observations, .. } = unpack(&identity).expect("a packed f32 agent").selftest;
    Walker { mlp, identity, observations }
}

/// A packed f32 agent after `change`, without its self-test.
fn repacked(file: &[u8], change: impl FnOnce(&mut Unpacked)) -> AlignedBytes {
    let mut agent = unpack(file).expect("a packed f32 agent");
    agent.settings.selftest_digest = None;
    change(&mut agent);
    let parts = Parts {
        tensors: &agent.tensors,
        settings: agent.settings,
        action_mid: &agent.action_mid,
        action_half: &agent.action_half,
        selftest: None,
        frames: &[],
        provenance: &agent.provenance,
    };
    AlignedBytes::new(&pack(&parts).expect("a sound agent"))
}

/// A memory by its name, for command lines.
///
/// # Errors
/// One line: there is no such memory.
pub fn cell(name: &str) -> Result<MemoryCell, String> {
    let known = MemoryCell::ALL.into_iter().find(|cell| cell.name() == name);
    known.ok_or_else(|| format!("expected lstm or gru, found {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dreamstep_runtime::{Agent, Backend, Model, Normalizer, memory_len};

    #[test]
    fn they_have_their_sizes_in_every_precision() {
        for (size, cell) in Size::ALL.into_iter().flat_map(|size| MemoryCell::ALL.map(|cell| (size, cell))) {
            let files = size.precisions_with(cell);
            for (file, precision) in files.iter().zip(Precision::ALL) {
                let model = Model::load(file).unwrap();
                let dims = size.dims().with_cell(cell);
                assert_eq!((*model.dims(), model.settings().precision), (dims, precision));
            }
            assert_eq!(files.len(), 4);
        }
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Calls `look` with both agents after each step on the same observation, with their actions.
    fn side_by_side(
        [mlp, identity]: [&AlignedBytes; 2],
        observations: impl Iterator<Item = Vec<f32>> + Clone,
        look: impl Fn(usize, &[Agent<'_, '_>; 2], [[f32; 17]; 2]),
    ) {
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let models = [mlp, identity].map(|file| Model::load_with(file, backend).unwrap());
            let [first, second] = &mut models.map(|model| vec![0.0; memory_len(model.dims())]);
            let mut agents = [Agent::new(models[0], first).unwrap(), Agent::new(models[1], second).unwrap()];
            for (t, observation) in observations.clone().enumerate() {
                let actions = agents.each_mut().map(|agent| {
                    let mut action = [0.0; 17];
                    agent.step(&observation, &mut action).unwrap();
                    action
                });
                look(t, &agents, actions);
            }
        }
    }

    #[test]
    fn the_walker_without_its_mlp_sees_what_it_saw_before_the_mlp_rounded_it() {
        let Walker { mlp, identity, observations } = walker();
        assert_eq!(observations.len(), 16);
        side_by_side([&mlp, &identity], observations.iter().cloned(), |t, [mlp, identity], actions| {
            let rounded: Vec<f32> = identity.latent().iter().map(|z| (z + 10.0) - 10.0).collect();
            assert_eq!(bits(mlp.latent()), bits(&rounded), "step {t}");
            for (a, b) in actions[0].iter().zip(&actions[1]) {
                assert!((a - b).abs() < 1e-5, "step {t}: {a} and {b}"); // of a range of 0.8
            }
        });
    }

    /// Where the MLP has nothing to round (no whitening, observations in steps of 1/1024), the two act alike to the last bit.
    #[test]
    fn the_walker_without_its_mlp_acts_bit_for_bit_alike_on_what_the_mlp_does_not_round() {
        let Walker { mlp, identity, .. } = walker();
        let [mlp, identity] =
            [mlp, identity].map(|file| repacked(&file, |agent| agent.settings.normalizer = Normalizer::None));
        let dims = *Model::load(&mlp).unwrap().dims();
        let on_grid = |t| synthetic::observation(&dims, 3, t).iter().map(|x| (x * 1024.0).round() / 1024.0 + 0.0).collect();
        side_by_side([&mlp, &identity], (0..200).map(on_grid), |t, [mlp, identity], actions| {
            assert_eq!(bits(&actions[0]), bits(&actions[1]), "step {t}");
            assert_eq!(mlp.digest(), identity.digest(), "step {t}");
        });
    }
}
