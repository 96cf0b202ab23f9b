//! Do all back ends give the same bits? Every one that this processor runs is stepped beside the portable one, which is the
//! specification, over whole episodes of agents of odd and even sizes, and its recurrent state, actions, mixture and samples are
//! compared bit for bit. Release flags, as shipped.

use dreamstep_core::rng::Philox;
use dreamstep_core::schema::{Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Backend, Dims, LoadError, Model, memory_len};

const ODD: Dims = Dims { obs: 5, action: 1, latent: 3, hidden: 7, mixtures: 2, mixture: Mixture::Joint, encoder: [9, 4] };
const MIDDLE: Dims =
    Dims { obs: 65, action: 33, latent: 47, hidden: 48, mixtures: 3, mixture: Mixture::Joint, encoder: [100, 50] };

/// What an episode leaves behind, as bits.
fn trace(bytes: &[u8], backend: Backend, seed: u64, steps: u64) -> Vec<u32> {
    let model = Model::load_with(bytes, backend).unwrap();
    assert_eq!(model.backend(), backend, "the back end that was asked for is the one that runs");
    let dims = *model.dims();
    let mut memory = vec![f32::NAN; memory_len(&dims)];
    let mut agent = Agent::new(&model, &mut memory).unwrap();
    let (mut action, mut z) = (vec![0.0; dims.action], vec![0.0; dims.latent]);
    let mut bits = Vec::new();
    for t in 0..steps {
        agent.step(&synthetic::observation(&dims, seed, t), &mut action).unwrap();
        let digest = agent.digest();
        bits.extend([digest as u32, (digest >> 32) as u32]);
        bits.extend(action.iter().chain(agent.latent()).map(|v| v.to_bits()));
        let prediction = agent.predict().unwrap();
        prediction.sample_latent(1.15, Philox::new(seed), t, &mut z);
        bits.extend(z.iter().map(|v| v.to_bits()));
        prediction.expected_latent(&mut z);
        bits.extend(z.iter().map(|v| v.to_bits()));
        bits.extend([prediction.reward().to_bits(), prediction.terminal_probability().to_bits()]);
    }
    bits
}

#[test]
fn every_back_end_gives_the_bits_of_the_portable_one() {
    let mut compared = 0;
    for (dims, steps) in [(ODD, 300), (MIDDLE, 300), (Dims::HUMANOID, 1000)] {
        for (squash, target) in [(Squash::Clamp, Target::Next), (Squash::Tanh, Target::Delta)] {
            let settings = Settings { squash, target, ..synthetic::settings(&dims) };
            let file = synthetic::agent_with(&settings, 1);
            let expected = trace(&file, Backend::Portable, 2, steps);
            for backend in Backend::ALL.into_iter().filter(|b| b.is_available()) {
                let found = trace(&file, backend, 2, steps);
                let first = expected.iter().zip(&found).position(|(a, b)| a != b);
                assert_eq!(first, None, "{} differs from portable at value {first:?} for {dims:?}", backend.name());
                compared += 1;
            }
        }
    }
    let names: Vec<_> = Backend::ALL.into_iter().filter(|b| b.is_available()).map(Backend::name).collect();
    println!("back ends compared on this processor: {}", names.join(", "));
    assert_eq!(compared, 6 * names.len());
}

#[test]
fn a_back_end_that_the_processor_lacks_is_refused() {
    let file = synthetic::agent(&ODD, 1);
    for backend in Backend::ALL {
        match Model::load_with(&file, backend) {
            Ok(model) => assert!(backend.is_available() && model.backend() == backend),
            Err(error) => assert!(!backend.is_available() && error == LoadError::Backend { name: backend.name() }),
        }
    }
    assert!(Backend::detect().is_available());
}
