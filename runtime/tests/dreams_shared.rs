//! May dreams of many controllers share a batch? Candidates that differ in C alone act side by side, and each dream gives the bits that
//! it gives alone, in a model with that controller; and a dream may follow a story that is told elsewhere.

#[path = "common/dreaming.rs"]
mod dreaming;

use dreaming::{SMALL, options, start};
use dreamstep_core::layout::Panels;
use dreamstep_core::rng::{Philox, Stream};
use dreamstep_core::schema::{Settings, Squash, Target};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    Backend, ControllerInput, Dims, DreamBatch, MemoryCell, Mixture, Model, Precision, Termination, dreams_memory_len,
};

/// Actions that fill more than a panel, and rows that end in the middle of everything.
const DIMS: Dims = Dims::vector(6, 19, &[9, 17], 5, 17, 2).with_mixture(Mixture::PerDimension);

const TICKS: usize = 9;

/// Panels and biases of some candidates.
fn candidates(dims: &Dims, count: usize) -> Vec<Vec<f32>> {
    let shape = Panels::dense(dims.unit_len(), dims.controller_inputs());
    let draw = |name: usize, n: usize| {
        let mut values = vec![0.0; n];
        Philox::new(4).fill_normal(Stream::SyntheticWeights, name as u64, &mut values);
        values.iter_mut().for_each(|value| *value *= 0.3);
        values
    };
    (0..count).map(|k| [draw(2 * k, shape.len(Precision::F32)), draw(2 * k + 1, shape.outputs())].concat()).collect()
}

fn settings() -> impl Iterator<Item = Settings> {
    let modes = [
        (DIMS, Squash::Tanh),
        (SMALL, Squash::Clamp),
        (DIMS.with_cell(MemoryCell::Gru), Squash::Clamp),
        (DIMS.with_input(ControllerInput::Hidden), Squash::Clamp),
        (DIMS.with_input(ControllerInput::Latent), Squash::Tanh),
    ];
    modes.into_iter().flat_map(|(dims, squash)| {
        Precision::ALL.map(|precision| {
            synthetic::with(synthetic::settings(&dims), |s| {
                (s.precision, s.squash, s.target) = (precision, squash, Target::Delta)
            })
        })
    })
}

/// Dream `number`'s digests and whether it goes on, tick by tick, alone in a batch of `model`, its own controller acting.
fn alone(model: &Model<'_>, number: u32) -> Vec<(u64, bool)> {
    let mut memory = vec![f32::NAN; dreams_memory_len(model.dims(), 1)];
    let mut dreams = DreamBatch::new(*model, &mut memory, 1, options(Termination::Sampled)).unwrap();
    start(&mut dreams, model.dims(), 0, number);
    let mut step = || {
        dreams.step();
        (dreams.digest(0), dreams.is_done(0))
    };
    (0..TICKS).map(|_| step()).collect()
}

#[test]
fn a_dream_among_other_controllers_dreams_is_the_dream_alone() {
    // Ranges that begin and end within groups of 64, and one that spans two of them.
    let lengths = [1, 12, 12, 40, 90, 5];
    for settings in settings() {
        let dims = settings.dims;
        let file = synthetic::agent_with(&settings, 1);
        let controllers = candidates(&dims, lengths.len());
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
            let base = Model::load_with(&file, backend).unwrap();
            let models: Vec<_> = controllers.iter().map(|values| base.with_controller(values).unwrap()).collect();
            let count = lengths.iter().sum();
            let mut memory = vec![f32::NAN; dreams_memory_len(&dims, count)];
            let mut dreams = DreamBatch::new(base, &mut memory, count, options(Termination::Sampled)).unwrap();
            let mut jobs: Vec<(usize, usize, u32)> = Vec::new(); // index, candidate, dream's number: 0, 1, … for each
            for (candidate, &length) in lengths.iter().enumerate() {
                let from = jobs.len();
                jobs.extend((0..length).map(|number| (from + number, candidate, number as u32)));
            }
            jobs.iter().for_each(|&(index, _, number)| start(&mut dreams, &dims, index, number));
            let expected: Vec<_> = jobs.iter().map(|&(_, candidate, number)| alone(&models[candidate], number)).collect();
            for tick in 0..TICKS {
                let mut from = 0;
                for (model, &length) in models.iter().zip(&lengths) {
                    dreams.act_with(from..from + length, model).unwrap();
                    from += length;
                }
                dreams.imagine().unwrap();
                for (&(index, candidate, number), expected) in jobs.iter().zip(&expected) {
                    let what =
                        format!("controller {candidate}, dream {number}, tick {tick}, {}, {settings:?}", backend.name());
                    assert_eq!((dreams.digest(index), dreams.is_done(index)), expected[tick], "{what}");
                }
            }
            let ended = expected.iter().filter(|ticks| ticks[1].1).count();
            assert!(ended > 0 && ended < count, "some dreams end while others go on: {ended} of {count}");
            // The same number, another controller, another dream.
            assert_ne!(expected[1][0], expected[13][0]);
        }
    }
}

#[test]
fn nobody_outside_the_range_acts() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let controllers = candidates(&SMALL, 1);
    let other = model.with_controller(&controllers[0]).unwrap();
    let mut memory = vec![f32::NAN; dreams_memory_len(&SMALL, 4)];
    let mut dreams = DreamBatch::new(model, &mut memory, 4, options(Termination::Never)).unwrap();
    (0..4).for_each(|index| start(&mut dreams, &SMALL, index, 3));
    dreams.act();
    let own = dreams.unit_action(0).to_vec();
    dreams.act_with(1..3, &other).unwrap();
    let acted: Vec<bool> = (0..4).map(|index| dreams.unit_action(index) != own).collect();
    assert_eq!(acted, [false, true, true, false]);
    let none = std::ops::Range { start: 3, end: 2 };
    assert_eq!((dreams.act_with(4..4, &other), dreams.act_with(none, &other)), (Ok(()), Ok(())), "nothing to do");
    assert_eq!(dreams.unit_action(3), own);
}

#[test]
fn a_dream_follows_a_story_that_is_told_elsewhere() {
    let (dims, number) = (DIMS, 6);
    let file = synthetic::agent(&dims, 1);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![f32::NAN; dreams_memory_len(&dims, 1)];
    let mut teller = DreamBatch::new(model, &mut memory, 1, options(Termination::Never)).unwrap();
    let mut memory = vec![f32::NAN; dreams_memory_len(&dims, 3)];
    let mut listeners = DreamBatch::new(model, &mut memory, 3, options(Termination::Never)).unwrap();
    start(&mut teller, &dims, 0, number);
    start(&mut listeners, &dims, 1, 2 * number);
    listeners.set_latent(1, teller.latent(0)).unwrap();
    listeners.set_latent(0, teller.latent(0)).unwrap();
    assert_eq!(listeners.latent(0), [0.0; 5], "a dream that never began stands nowhere");
    for tick in 0..5 {
        teller.act();
        listeners.act();
        assert_eq!(listeners.unit_action(1), teller.unit_action(0), "tick {tick}: what it sees, it answers");
        teller.imagine().unwrap();
        listeners.imagine().unwrap();
        assert_eq!((listeners.hidden(1), listeners.cell(1)), (teller.hidden(0), teller.cell(0)), "tick {tick}");
        assert_ne!(listeners.latent(1), teller.latent(0), "tick {tick}: its own draws are its own");
        listeners.set_latent(1, teller.latent(0)).unwrap();
    }
}

#[test]
fn a_dream_that_is_stopped_waits_for_nothing_and_may_begin_anew() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![f32::NAN; dreams_memory_len(&SMALL, 2)];
    let mut dreams = DreamBatch::new(model, &mut memory, 2, options(Termination::Never)).unwrap();
    (0..2).for_each(|index| start(&mut dreams, &SMALL, index, 4));
    dreams.step();
    let digest = dreams.digest(0);
    dreams.stop(0).unwrap();
    dreams.act_with(1..2, &model).unwrap();
    dreams.imagine().unwrap();
    assert_eq!((dreams.is_done(0), dreams.tick(0), dreams.digest(0), dreams.active_count()), (true, 1, digest, 1));
    start(&mut dreams, &SMALL, 0, 4);
    dreams.step();
    assert_eq!(dreams.digest(0), digest, "the same dream again");
}
