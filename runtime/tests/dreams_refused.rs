//! What is no dream? Every refusal with its one line, and no dream changed by it; what there is to see of a dream that never began.

#[path = "common/dreaming.rs"]
mod dreaming;

use dreaming::{SMALL, options, start};
use dreamstep_core::dims::MAX_DIM;
use dreamstep_core::names::checkpoint;
use dreamstep_core::pack::{AlignedBytes, Parts, pack};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{
    ControllerInput, Dims, DreamBatch, DreamError, DreamOptions, DreamStart, MemoryCell, Model, Termination,
    dreams_memory_len, memory_len, state_len,
};
use std::collections::BTreeMap;

#[test]
fn what_cannot_be_dreamt_is_refused() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let need = dreams_memory_len(&SMALL, 3);
    let refused = |count: usize, memory: usize, options: DreamOptions| {
        let mut memory = vec![f32::NAN; memory];
        DreamBatch::new(model, &mut memory, count, options)
            .map(|dreams| dreams.count())
            .map_err(|error| (error, error.to_string()))
    };
    let error = |error: DreamError, message: String| Err((error, message));
    for found in [0, 1, need / 2, need - 1] {
        let message = format!("dream memory: expected at least {need} values, found {found}");
        assert_eq!(refused(3, found, DreamOptions::default()), error(DreamError::Memory { expected: need, found }, message));
    }
    assert_eq!(refused(3, need, DreamOptions::default()), Ok(3));
    assert_eq!(refused(0, dreams_memory_len(&SMALL, 0), DreamOptions::default()), Ok(0));
    for found in [0.0, -0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let result = refused(3, need, DreamOptions { temperature: found, ..DreamOptions::default() });
        let Err((DreamError::Temperature { found: value }, message)) = result else { panic!("{found}: {result:?}") };
        assert_eq!(value.to_bits(), found.to_bits());
        assert_eq!(message, format!("temperature: expected a positive number, found {found}"));
    }
    for found in [0.0, -0.5, 1.0_f32.next_up(), f32::INFINITY, f32::NAN] {
        let result =
            refused(3, need, DreamOptions { termination: Termination::Threshold(found), ..DreamOptions::default() });
        let Err((DreamError::Threshold { found: value }, message)) = result else { panic!("{found}: {result:?}") };
        assert_eq!(value.to_bits(), found.to_bits());
        assert_eq!(message, format!("terminal threshold: expected above 0, at most 1, found {found}"));
    }
    for threshold in [1.0, 0.5, f32::from_bits(1)] {
        assert_eq!(refused(3, need, options(Termination::Threshold(threshold))), Ok(3));
    }
    for input in ControllerInput::ALL {
        let file = synthetic::agent(&SMALL.with_input(input), 1);
        let model = Model::load(&file).unwrap();
        let result = DreamBatch::new(model, &mut vec![0.0; need], 3, DreamOptions::default()).map(|dreams| dreams.count());
        if matches!(input.name(), "obs" | "obs+h") {
            let error = result.unwrap_err();
            let message = "dreams: expected a controller that reads z, h or z+h (a dream has no observations), found ";
            assert_eq!(
                (error, error.to_string()),
                (DreamError::Input { found: input }, format!("{message}{}", input.name()))
            );
        } else {
            assert_eq!(result, Ok(3));
        }
    }
    let mut tensors = synthetic::tensors(&SMALL, 1);
    tensors.remove(checkpoint::GMM_WEIGHT);
    let parts = Parts {
        tensors: &tensors,
        settings: synthetic::settings(&SMALL),
        action_mid: &[0.0],
        action_half: &[1.0],
        selftest: None,
        frames: &[],
        provenance: &BTreeMap::new(),
    };
    let headless = AlignedBytes::new(&pack(&parts).unwrap());
    let headless = Model::load(&headless).unwrap();
    let error = DreamBatch::new(headless, &mut vec![0.0; need], 3, DreamOptions::default()).unwrap_err();
    assert_eq!(
        (error, error.to_string().as_str()),
        (DreamError::NoHead, "dreams: expected a model with an MDN head, found none in the file",)
    );
}

/// The largest sizes that a file may have, with the head that has most outputs.
const LARGEST: Dims = largest(7);

const fn largest(mixtures: usize) -> Dims {
    Dims::vector(MAX_DIM, MAX_DIM, &[MAX_DIM; 4], MAX_DIM, MAX_DIM, mixtures)
}

/// What no number of dreams is worth: a length that wrapped round.
#[test]
fn more_dreams_than_any_memory_holds_are_refused() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let most = isize::MAX as usize / size_of::<f32>();
    for dims in [SMALL, SMALL.with_cell(MemoryCell::Gru), Dims::HUMANOID, LARGEST] {
        // What another dream costs, beyond the first group: in 128 bits, where nothing wraps.
        let lengths = [1000, 1001].map(|count| dreams_memory_len(&dims, count) as u128);
        let [row, base] = [lengths[1] - lengths[0], lengths[0] - 1000 * (lengths[1] - lengths[0])];
        let fit = ((most as u128 - base) / row) as usize; // so many, and not one more
        let mut many: Vec<usize> = [1000, fit, fit + 1, usize::MAX].into();
        // Where a product of one row's length and the number comes round to about 0.
        many.extend((1..usize::BITS).flat_map(|bits| [-1, 0, 1].map(|off| (1_usize << bits).wrapping_add_signed(off))));
        many.extend([2, 3, 5, 7].map(|part| usize::MAX / part));
        many.extend([0, 1].map(|more| (u128::from(u64::MAX) / row) as usize + more));
        for count in many.into_iter().filter(|&count| count >= 1000) {
            let exact = base + row * count as u128;
            let expected = if exact <= most as u128 { exact as usize } else { usize::MAX };
            assert_eq!(dreams_memory_len(&dims, count), expected, "{count} of {dims:?}");
            if dims == SMALL {
                let error = DreamBatch::new(model, &mut [0.0; 4096], count, DreamOptions::default()).unwrap_err();
                if expected == usize::MAX {
                    assert_eq!(error, DreamError::Count { found: count });
                    assert_eq!(error.to_string(), format!("dreams: {count} do not fit into any memory"));
                } else {
                    assert_eq!(error, DreamError::Memory { expected, found: 4096 });
                }
            }
        }
        assert_eq!(dreams_memory_len(&dims, fit + 1), usize::MAX, "{dims:?}");
    }
}

/// On 32-bit targets too: no product in these lengths is longer than the sum, and the sum fits.
#[test]
fn the_largest_sizes_that_a_file_may_have_fit_32_bits() {
    assert!(LARGEST.check().is_ok() && largest(8).check().is_err());
    for (cell, input) in MemoryCell::ALL.into_iter().flat_map(|cell| ControllerInput::ALL.map(|input| (cell, input))) {
        let dims = LARGEST.with_cell(cell).with_input(input);
        for (what, bytes) in [
            ("an agent", 4 * memory_len(&dims) as u64),
            ("its state", state_len(&dims) as u64),
            ("a dream", 4 * dreams_memory_len(&dims, 1) as u64),
            ("a group of dreams", 4 * dreams_memory_len(&dims, 64) as u64),
        ] {
            assert!(bytes <= i32::MAX as u64, "{what} of {dims:?}: {bytes} bytes");
        }
    }
}

#[test]
fn a_refused_call_changes_no_dream() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![f32::NAN; dreams_memory_len(&SMALL, 3)];
    let mut dreams = DreamBatch::new(model, &mut memory, 3, options(Termination::Never)).unwrap();
    let (latent, h) = ([0.5; 3], [0.25; 7]);
    start(&mut dreams, &SMALL, 0, 0);
    start(&mut dreams, &SMALL, 2, 2);
    dreams.step();
    let shown = |dreams: &DreamBatch<'_, '_>| {
        let one =
            |index| (dreams.digest(index), dreams.unit_action(index).to_vec(), dreams.tick(index), dreams.is_done(index));
        [0, 1, 2].map(one)
    };
    let before = shown(&dreams);
    let mut refused =
        |call: &dyn Fn(&mut DreamBatch<'_, '_>) -> Result<(), DreamError>, error: DreamError, message: &str| {
            assert_eq!((call(&mut dreams), error.to_string().as_str()), (Err(error), message));
            assert_eq!(shown(&dreams), before, "{message}");
        };
    for found in [3, 4, usize::MAX] {
        let (error, message) = (DreamError::Index { count: 3, found }, format!("dream {found}: expected one of 3"));
        refused(&|dreams| dreams.start(found, 0, DreamStart { latent: &latent, state: None }), error, &message);
        refused(&|dreams| dreams.set_action(found, &[0.0]), error, &message);
        refused(&|dreams| dreams.set_latent(found, &latent), error, &message);
        refused(&|dreams| dreams.stop(found), error, &message);
        if let Some(end) = found.checked_add(1) {
            refused(&|dreams| dreams.act_with(1..end, &model), error, &message);
        }
    }
    for (dims, what, expected, found) in [
        (Dims::vector(5, 1, &[9, 4], 4, 7, 2), "latent", 3, 4),
        (SMALL.with_hidden(8), "h", 7, 8),
        (Dims::vector(5, 2, &[9, 4], 3, 7, 2), "action", 1, 2),
    ] {
        let file = synthetic::agent(&dims, 1);
        let other = Model::load(&file).unwrap();
        let (error, message) = (
            DreamError::Length { what, expected, found },
            format!("dream {what}: expected {expected} values, found {found}"),
        );
        refused(&|dreams| dreams.act_with(0..3, &other), error, &message);
    }
    for found in [0, 1, 2, 4, 16] {
        let message = |what: &str, expected: usize| format!("dream {what}: expected {expected} values, found {found}");
        let error = |what, expected| DreamError::Length { what, expected, found };
        let other = vec![0.5; found];
        let begin = DreamStart { latent: &other, state: None };
        refused(&|dreams| dreams.start(2, 9, begin), error("latent", 3), &message("latent", 3));
        refused(&|dreams| dreams.set_latent(2, &other), error("latent", 3), &message("latent", 3));
        let begin = DreamStart { latent: &latent, state: Some((&other, &h)) };
        refused(&|dreams| dreams.start(2, 9, begin), error("h", 7), &message("h", 7));
        let begin = DreamStart { latent: &latent, state: Some((&h, &other)) };
        refused(&|dreams| dreams.start(2, 9, begin), error("c", 7), &message("c", 7));
        if found != 1 {
            refused(&|dreams| dreams.set_action(2, &other), error("action", 1), &message("action", 1));
        }
    }
    for (bad, index) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().flat_map(|bad| [(bad, 0), (bad, 2)]) {
        let broken = |n: usize| {
            let mut values = vec![0.5; n];
            values[index] = bad;
            values
        };
        let message = |what: &str| format!("dream {what}[{index}]: expected a finite value");
        let error = |what| DreamError::NonFinite { what, index };
        let (z, state) = (broken(3), broken(7));
        refused(&|dreams| dreams.start(2, 9, DreamStart { latent: &z, state: None }), error("latent"), &message("latent"));
        refused(&|dreams| dreams.set_latent(2, &z), error("latent"), &message("latent"));
        let begin = DreamStart { latent: &latent, state: Some((&state, &h)) };
        refused(&|dreams| dreams.start(2, 9, begin), error("h"), &message("h"));
        let begin = DreamStart { latent: &latent, state: Some((&h, &state)) };
        refused(&|dreams| dreams.start(2, 9, begin), error("c"), &message("c"));
        if index == 0 {
            refused(&|dreams| dreams.set_action(2, &[bad]), error("action"), &message("action"));
        }
    }
    // No dream takes a step while one waits for its action.
    let message = |index: usize| format!("dream {index}: expected an action before imagine, found none");
    refused(&|dreams| dreams.imagine(), DreamError::NoAction { index: 0 }, &message(0));
    dreams.set_action(0, &[0.5]).unwrap();
    let (digest, error) = (dreams.digest(0), dreams.imagine().unwrap_err());
    assert_eq!((error, error.to_string()), (DreamError::NoAction { index: 2 }, message(2)));
    assert_eq!(dreams.digest(0), digest);
    dreams.set_action(2, &[0.5]).unwrap();
    dreams.imagine().unwrap();
    assert_eq!([0, 1, 2].map(|index| dreams.tick(index)), [2, 0, 2]);
}

#[test]
fn a_dream_that_there_is_not_shows_nothing() {
    let file = synthetic::agent(&SMALL, 1);
    let model = Model::load(&file).unwrap();
    let mut memory = vec![f32::NAN; dreams_memory_len(&SMALL, 2) + 3];
    let mut dreams = DreamBatch::new(model, &mut memory[3..], 2, options(Termination::Never)).unwrap();
    // None has begun: a step has nothing to do.
    assert_eq!((dreams.count(), dreams.active_count(), dreams.step()), (2, 0, 0));
    assert_eq!(dreams.imagine(), Ok(()));
    dreams.set_action(0, &[0.5]).unwrap();
    assert_eq!((dreams.active_count(), dreams.step()), (0, 0), "an action does not begin one");
    // The last two times a row's width are 0 in a word.
    for index in [0, 1, 2, usize::MAX, 1 << (usize::BITS - 4), 1 << (usize::BITS - 3)] {
        let there = index < 2;
        assert!(dreams.is_done(index));
        assert_eq!((dreams.tick(index), dreams.reward(index), dreams.terminal_probability(index)), (0, 0.0, 0.0));
        assert_eq!(dreams.latent(index), if there { &[0.0; 3][..] } else { &[] });
        assert_eq!(dreams.hidden(index), if there { &[0.0; 7][..] } else { &[] });
        assert_eq!(dreams.cell(index), if there { &[0.0; 7][..] } else { &[] });
        assert_eq!(dreams.unit_action(index), if there { &[0.0][..] } else { &[] });
    }
    // A dream that begins stands where it was told to.
    dreams.start(1, 7, DreamStart { latent: &[0.5, -0.25, 2.0], state: Some((&[0.125; 7], &[-3.0; 7])) }).unwrap();
    assert_eq!(dreams.latent(1), [0.5, -0.25, 2.0]);
    assert_eq!((dreams.hidden(1), dreams.cell(1)), (&[0.125; 7][..], &[-3.0; 7][..]));
    assert_eq!((dreams.active_count(), dreams.step()), (1, 1));
    dreams.start(1, 7, DreamStart { latent: &[0.5; 3], state: None }).unwrap();
    assert_eq!((dreams.hidden(1), dreams.cell(1)), (&[0.0; 7][..], &[0.0; 7][..]));
    assert_eq!((dreams.tick(1), dreams.reward(1), dreams.terminal_probability(1)), (0, 0.0, 0.0));
}
