//! Is an agent of the format before, packed-2, the same agent once it is converted? Its header is written here by hand, as the packer of that
//! format wrote it. Tensors keep their bytes, settings their values, actions their bits; what never ran is left out.

mod common;
#[path = "common/pieces.rs"]
mod pieces;

use common::agent_with_selftest;
use dreamstep_core::pack::{AlignedBytes, packed2, with_self_test};
use dreamstep_core::schema::{Acting, Settings, Squash, Target};
use dreamstep_fixtures::synthetic::{self, ODD, TWO_BLOCKS};
use dreamstep_fixtures::{CARTPOLE, HUMANOID};
use dreamstep_runtime::{Agent, ControllerInput, Dims, MemoryCell, Mixture, Model, Precision, memory_len};
use pieces::{Loose, Pieces};

/// The packed-3 agent `bytes` as packed-2 would have had it: the same tensors in the same order, settings under that format's keys, further
/// metadata as they are.
fn as_packed_2(bytes: &[u8]) -> Pieces {
    let settings = *Model::load(&AlignedBytes::new(bytes)).unwrap().settings();
    let mut pieces = Pieces::of(bytes);
    settings.entries().iter().for_each(|(key, _)| drop(pieces.metadata.remove(*key)));
    let dims = settings.dims;
    let hidden = dims.v.hidden();
    assert_eq!(hidden.len(), 2, "packed-2 had two hidden layers, always");
    let mixture = if dims.mixture() == Some(Mixture::Joint) { "joint" } else { "per-dimension" };
    let entries = [
        ("dreamstep.format", "packed-2".to_string()),
        ("precision", settings.precision.name().to_string()),
        ("action.latent", if settings.acting == Acting::Mean { "mean" } else { "sampled" }.to_string()),
        ("rnn.input", "action,z".to_string()),
        ("gmm.mixture", mixture.to_string()),
        ("gmm.sigma", "exp".to_string()),
        ("dims.obs", dims.obs_len().to_string()),
        ("dims.action", dims.action_len().to_string()),
        ("dims.latent", dims.latent_len().to_string()),
        ("dims.hidden", dims.hidden_len().to_string()),
        ("dims.mixtures", dims.mixtures().to_string()),
        ("dims.encoder.0", hidden.at(0).to_string()),
        ("dims.encoder.1", hidden.at(1).to_string()),
        ("observation.clip", settings.obs_clip.to_string()),
        ("action.squash", if settings.squash == Squash::Clamp { "clamp" } else { "tanh" }.to_string()),
        ("gmm.target", if settings.target == Target::Next { "z" } else { "delta" }.to_string()),
        ("encoder.log_var_min", settings.log_var_range[0].to_string()),
        ("encoder.log_var_max", settings.log_var_range[1].to_string()),
        ("gmm.log_sigma_min", settings.log_sigma_min.to_string()),
        ("reward.offset", settings.reward_offset.to_string()),
    ];
    pieces.metadata.extend(entries.map(|(key, value)| (key.to_string(), value)));
    let mut put = |key: &str, value: String| drop(pieces.metadata.insert(key.to_string(), value));
    // What was usual was not said.
    if dims.cell() == Some(MemoryCell::Gru) {
        put("rnn.cell", "gru".to_string());
    }
    if dims.input() != ControllerInput::LatentHidden {
        put("controller.input", dims.input().name().to_string());
    }
    if let Some(digest) = settings.selftest_digest {
        put("selftest.digest", format!("{digest:016x}"));
    }
    pieces
}

/// Names, dtypes, shapes and bytes, in the file's order; without the self-test.
fn tensors(bytes: &[u8]) -> Vec<Loose> {
    let all = Pieces::of(bytes).tensors.into_iter();
    all.filter(|tensor| !tensor.name.starts_with("selftest.")).collect()
}

/// Actions, latents and states of an episode, as bits.
fn episode(bytes: &[u8]) -> Vec<u32> {
    let bytes = AlignedBytes::new(bytes);
    let model = Model::load(&bytes).unwrap();
    let dims = *model.dims();
    let mut memory = vec![0.0; memory_len(&dims)];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    let (mut action, mut trace) = (vec![0.0; dims.action_len()], Vec::new());
    for t in 0..20 {
        agent.step(&synthetic::observation(&dims, 5, t), &mut action).unwrap();
        let digest = agent.self_test_digest();
        trace.extend(action.iter().chain(agent.latent()).map(|v| v.to_bits()).chain([digest as u32, (digest >> 32) as u32]));
    }
    trace
}

/// Every setting that packed-2 had, one way and the other.
fn agents() -> impl Iterator<Item = (Settings, Vec<u8>)> {
    let kinds = [ODD, TWO_BLOCKS].into_iter().flat_map(|dims| MemoryCell::ALL.map(|cell| dims.with_cell(cell)));
    let inputs = ControllerInput::ALL.into_iter().filter(|&input| input != ControllerInput::Observation);
    let kinds = kinds.flat_map(move |dims| inputs.clone().map(move |input| dims.with_input(input)));
    kinds.enumerate().flat_map(|(i, dims)| {
        Precision::ALL.map(|precision| {
            let settings = synthetic::with(synthetic::settings(&dims.with_mixture(Mixture::ALL[i % 2])), |s| {
                s.precision = precision;
                s.squash = [Squash::Clamp, Squash::Tanh][i / 2 % 2];
                s.acting = [Acting::Mean, Acting::Sampled][i % 3 % 2];
                s.target = Target::ALL[i / 3 % 2];
                (s.obs_clip, s.log_var_range) = ([10.0, 0.1][i % 2], [[-10.0, 10.0], [-0.25, 1.0 / 3.0]][i % 2]);
                (s.log_sigma_min, s.reward_offset) = ([-5.0, 0.1][i % 2], [0.0, -1.0 / 3.0][i % 2]);
            });
            (settings, agent_with_selftest(&settings, &synthetic::tensors(&settings.dims, 1)))
        })
    })
}

#[test]
fn the_same_tensors_settings_and_bits() {
    for (settings, bytes) in agents() {
        let old = as_packed_2(&bytes).bytes(0);
        assert!(packed2::is_one(&old) && !packed2::is_one(&bytes));
        let refused = Model::load(&AlignedBytes::new(&old)).unwrap_err().to_string();
        assert_eq!(refused, "metadata `dreamstep.format`: expected packed-3, found `packed-2`");
        for period_s in [None, Some(0.015)] {
            let new = packed2::convert(&old, period_s).unwrap();
            assert_eq!(format!("{:?}", tensors(&new)), format!("{:?}", tensors(&bytes)), "{settings:?}");
            let loaded = AlignedBytes::new(&new);
            let expected = synthetic::with(settings, |s| s.period_s = period_s);
            assert_eq!(Model::load(&loaded).unwrap().settings(), &expected);
            if matches!(settings.precision, Precision::F32 | Precision::I8) {
                assert_eq!(episode(&new), episode(&bytes), "{settings:?}");
            }
        }
        // With the self-test that it had, it is the agent that it was, to the last byte.
        let vectors = packed2::self_test(&old).unwrap();
        assert_eq!((vectors.observations.len(), vectors.actions.len()), (common::STEPS, common::STEPS));
        let digest = as_packed_2(&bytes).metadata["selftest.digest"].clone();
        let new =
            with_self_test(&packed2::convert(&old, None).unwrap(), &vectors, u64::from_str_radix(&digest, 16).unwrap());
        assert!(new.unwrap() == bytes, "{settings:?}");
    }
}

#[test]
fn a_controller_on_observations_alone_loses_the_v_and_m_that_never_ran() {
    for (cell, precision) in MemoryCell::ALL.into_iter().flat_map(|cell| Precision::ALL.map(|p| (cell, p))) {
        // Of packed-2's agent: V and M of a usual one, and a controller as wide as an observation.
        let dims = TWO_BLOCKS.with_cell(cell);
        let whole = |dims: Dims| synthetic::with(synthetic::settings(&dims), |s| s.precision = precision);
        let [usual, reactive] = [dims, dims.with_input(ControllerInput::Observation)]
            .map(|dims| agent_with_selftest(&whole(dims), &synthetic::tensors(&dims, 1)));
        let mut old = as_packed_2(&usual);
        old.metadata.insert("controller.input".into(), "obs".into());
        for tensor in &mut old.tensors {
            if let Some(own) = tensors(&reactive).into_iter().find(|own| own.name == tensor.name) {
                *tensor = own;
            }
        }
        let new = packed2::convert(&old.bytes(0), None).unwrap();
        let model = AlignedBytes::new(&new);
        let model = Model::load(&model).unwrap();
        assert_eq!(model.dims(), &Dims::reactive(21, 3));
        assert_eq!(format!("{:?}", tensors(&new)), format!("{:?}", tensors(&reactive)));
        assert_eq!(episode(&new), episode(&reactive));
        for gone in ["dims.latent", "dims.hidden", "gmm.mixture", "rnn.input", "rnn.cell", "action.latent", "reward.offset"]
        {
            assert_eq!(model.metadata(gone), None);
        }
    }
}

#[test]
fn what_is_no_setting_stays_as_it_is() {
    let bytes = synthetic::agent(&ODD, 1);
    let mut old = as_packed_2(&bytes);
    assert_eq!(old.metadata["origin"], "synthetic");
    old.metadata.insert("note".into(), r#"a \"quoted\" \u00e9"#.into());
    let new = packed2::convert(&old.bytes(0), None).unwrap();
    let new = Pieces::of(&new);
    assert_eq!((new.metadata["origin"].as_str(), new.metadata["note"].as_str()), ("synthetic", r#"a \"quoted\" é"#));
}

#[test]
fn what_is_no_packed_2_is_refused_in_one_line() {
    let bytes = agent_with_selftest(&synthetic::settings(&ODD), &synthetic::tensors(&ODD, 1));
    let old = as_packed_2(&bytes);
    let refused = |damage: &dyn Fn(&mut Pieces)| {
        let mut pieces = old.clone();
        damage(&mut pieces);
        let bytes = pieces.bytes(0);
        let error = packed2::convert(&bytes, None).unwrap_err();
        assert_eq!(packed2::self_test(&bytes).unwrap_err(), error);
        assert_eq!(error.lines().count(), 1);
        error
    };
    let settings =
        ["dims.encoder.1", "dims.obs", "gmm.mixture", "gmm.target", "precision", "reward.offset", "action.squash"];
    for key in settings.into_iter().chain(["dreamstep.format", "observation.clip", "encoder.log_var_max"]) {
        let error = refused(&|file| drop(file.metadata.remove(key)));
        assert_eq!(error, format!("metadata `{key}`: expected, not found"));
    }
    for (key, value, expected) in [
        ("dreamstep.format", "packed-1", "packed-2"),
        ("dims.latent", "three", "an integer"),
        ("rnn.cell", "elman", "lstm or gru"),
        ("controller.input", "x", "z+h, z, h, obs or obs+h"),
        ("gmm.target", "dz", "z or delta"),
        ("precision", "f64", "f32, f16, bf16 or i8"),
        ("gmm.log_sigma_min", "", "a number"),
        ("dims.encoder.0", "0", "a width above 0"),
    ] {
        let error = refused(&|file| drop(file.metadata.insert(key.into(), value.into())));
        assert_eq!(error, format!("metadata `{key}`: expected {expected}, found `{value}`"));
    }
    assert!(packed2::convert(&bytes, None).is_err() && !packed2::is_one(b""));
    assert!(packed2::convert(b"", None).unwrap_err().starts_with("not a safetensors file"));
}

/// The shipped agents were packed-2 once, and their self-tests' digests are what they were: the conversion changed no bit of theirs. (The
/// walker was converted so too, before its V became the identity.)
#[test]
fn the_shipped_agents_compute_what_they_did() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/data");
    let read = |name: &str| AlignedBytes::new(&std::fs::read(data.join(format!("{name}.safetensors"))).unwrap());
    for (name, expected) in
        [("humanoid", 0x30e3_5c51_8153_a23a), ("half-cheetah", 0x1cfe_6f9e_aabd_9712), ("cartpole", 0xee0b_5dc8_f3d3_1efd)]
    {
        let bytes = read(name);
        let model = Model::load(&bytes).unwrap();
        assert_eq!(model.settings().selftest_digest, Some(expected), "{name}");
        assert_eq!(model.self_test(&mut vec![0.0; memory_len(model.dims())]), Ok(()), "{name}");
    }
    assert!(*read("humanoid") == *HUMANOID && *read("cartpole") == *CARTPOLE, "and these are the embedded ones");
}
