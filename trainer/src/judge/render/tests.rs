//! States rebuilt from observations beside the true ones, as numbers and as pictures; V and M's part with
//! networks whose answers are known; films read back.
//!
//! Pictures need EGL, films ffmpeg. Where there is none, those tests are skipped.

use super::episode::Episode;
use super::imagined::{Codec, Dream, Dreamer, dream_options};
use super::rebuild::Rebuilder;
use super::scene::{Image, Scene};
use super::video::{Film, Format, has_ffmpeg};
use super::{Panel, Shown, Strip, parse_size, parse_temperature};
use crate::env::pool::{Cut, Player, Policy};
use crate::env::{AnyEnv, Env, EnvConfig, Picture, Pose, ids};
use crate::run::checkpoint::{Array, Checkpoint, meta};
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::pack::{AlignedBytes, Unpacked, unpack};
use dreamstep_fixtures::skip;
use std::collections::BTreeMap;
use std::process::Command;

fn random_episode(id: &str, seed: u64, steps: u32) -> (AnyEnv, Episode) {
    let mut env = AnyEnv::make(&EnvConfig::from(id)).unwrap();
    let episode = Episode::play(&mut env, Policy::Random, seed, steps).unwrap();
    (env, episode)
}

/// What an observation tells, said again: copied numbers bit for bit; what went through an angle, or through a body's place, to rounding.
#[test]
fn a_rebuilt_state_is_observed_as_the_true_one_was() {
    for id in ids().filter(|id| !["CartPole-v1", "CarRacing-v3"].contains(id)) {
        let (env, episode) = random_episode(id, 5, 40);
        let mut rebuilder = Rebuilder::new(&env);
        let AnyEnv::Mujoco(mut other) = AnyEnv::make(&EnvConfig::from(id)).unwrap() else { panic!("{id}: a MuJoCo task") };
        let blocks = &env.spec().blocks;
        let mut again = vec![f64::NAN; env.spec().obs];
        for (step, seen) in episode.observations.iter().enumerate() {
            let pose = rebuilder.next(seen).unwrap();
            other.observe_at(&pose, &mut again);
            let (mut from, mut exact, mut close) = (0, 0, 0);
            for (block, len) in blocks.iter().map(|(name, len)| (name.as_str(), *len)) {
                let pairs = seen[from..from + len].iter().zip(&again[from..from + len]);
                from += len;
                match block {
                    "qpos" | "qvel" | "x" => {
                        exact += len;
                        pairs.for_each(|(a, b)| assert_eq!(a.to_bits(), b.to_bits(), "{id}, step {step}, {block}"));
                    }
                    "sin" | "cos" | "tip" | "object" | "goal" | "tip_to_goal" => {
                        close += len;
                        // A body's place is that of one simulator step before its joints' angles.
                        let lag = if matches!(block, "tip" | "tip_to_goal") { 0.2 } else { 1e-14 };
                        pairs.for_each(|(a, b)| assert!((a - b).abs() < lag, "{id}, step {step}, {block}: {a} {b}"));
                    }
                    // Forces and what else depends on more than where everything is.
                    _ => {}
                }
            }
            assert!(exact > 0 && exact + close >= env.spec().action(), "{id}");
            let told = episode.poses[step].positions.len() - env.unobserved();
            assert!(id != "Humanoid-v5" || (told, exact) == (22, 45), "{id}: {told} {exact}");
        }
        // Where it is in the world comes from velocities alone, so it drifts; it must not stand still or run away.
        let (truth, mut rebuilder) = (episode.poses.last().unwrap(), Rebuilder::new(&env));
        let rebuilt = episode.observations.iter().map(|seen| rebuilder.next(seen).unwrap()).last().unwrap();
        for i in 0..env.unobserved() {
            let (there, travelled) = (truth.positions[i], rebuilt.positions[i]);
            assert!((there - travelled).abs() < 0.1 + 0.3 * there.abs(), "{id}, position {i}: {there} {travelled}");
        }
    }
}

#[test]
fn cart_pole_tells_everything() {
    let (env, episode) = random_episode("CartPole-v1", 5, 40);
    let mut rebuilder = Rebuilder::new(&env);
    for (pose, seen) in episode.poses.iter().zip(&episode.observations) {
        let rebuilt = rebuilder.next(seen).unwrap();
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(&pose.positions, &rebuilt.positions) && close(&pose.velocities, &rebuilt.velocities));
    }
}

#[test]
fn an_episode_is_the_one_that_the_other_commands_play() {
    let (_, episode) = random_episode("Hopper-v5", 11, 0);
    let outcome = Player::new(&EnvConfig::from("Hopper-v5")).unwrap().episode(Policy::Random, 11, Cut::default()).unwrap();
    let steps = episode.steps();
    assert_eq!((outcome.episode_return, outcome.length), (episode.returns[steps], steps as u64));
    assert_eq!(outcome.terminated, episode.terminated);
    assert_eq!([episode.poses.len(), episode.observations.len(), episode.returns.len()], [steps + 1; 3]);
}

#[test]
fn what_no_state_could_be_is_refused_and_quaternions_get_their_length() {
    let env = AnyEnv::make(&EnvConfig::from("Humanoid-v5")).unwrap();
    let mut seen = vec![0.25; env.spec().obs];
    let pose = Rebuilder::new(&env).next_decoded(&seen).unwrap();
    assert_eq!(pose.positions[..7], [0.0, 0.0, 0.25, 0.5, 0.5, 0.5, 0.5]);
    let raw = Rebuilder::new(&env).next(&seen).unwrap();
    assert_eq!(raw.positions[3..7], [0.25; 4], "what was observed is left as it was");
    seen[1..5].fill(0.0);
    assert_eq!(Rebuilder::new(&env).next_decoded(&seen).unwrap().positions[3..7], [1.0, 0.0, 0.0, 0.0]);
    for (at, wrong) in [(0, f64::NAN), (30, f64::INFINITY), (21, -1.1e10)] {
        let mut seen = seen.clone();
        seen[at] = wrong;
        let mut rebuilder = Rebuilder::new(&env);
        assert_eq!((rebuilder.next(&seen), rebuilder.next_decoded(&seen)), (None, None), "{wrong} at {at}");
    }
    // A force that is not a number hides no pose.
    *seen.last_mut().unwrap() = f64::NAN;
    assert!(Rebuilder::new(&env).next(&seen).is_some());
}

/// Mean absolute difference of two pictures, of 255.
fn difference(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.rgb.iter().zip(&b.rgb).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.rgb.len() as f64
}

/// The defect that this command exists to show would show here: a picture of the observation taken for a state is another picture.
#[test]
fn a_rebuilt_state_looks_like_the_true_one_and_an_observation_taken_for_a_state_does_not() {
    let (env, episode) = random_episode("Humanoid-v5", 3, 0);
    let (width, height) = (160, 120);
    let mut scene = match Scene::new(&env, width, height) {
        Ok(scene) => scene,
        Err(error) => return skip::not_installed(&format!("{error:#}")),
    };
    let mut picture = |pose: &Pose| {
        let mut image = Image::new(width, height);
        scene.draw(pose, &mut image).unwrap();
        image
    };
    let mut rebuilder = Rebuilder::new(&env);
    let (mut rebuilt, mut wrong) = (Vec::new(), Vec::new());
    let mut first = None;
    for (pose, seen) in episode.poses.iter().zip(&episode.observations) {
        let mut there = rebuilder.next(seen).unwrap();
        // The ground below it, which it cannot know.
        there.positions[..2].copy_from_slice(&pose.positions[..2]);
        let truth = picture(pose);
        rebuilt.push(difference(&truth, &picture(&there)));
        let taken = Pose { positions: seen[..24].to_vec(), velocities: seen[24..47].to_vec() };
        wrong.push(difference(&truth, &picture(&taken)));
        first.get_or_insert(truth);
    }
    // The camera goes where the body goes.
    let body = |image: &Image| image.rgb.chunks(3).filter(|pixel| pixel[0] > pixel[2].saturating_add(40)).count();
    let mut away = episode.poses[0].clone();
    (away.positions[0], away.positions[1]) = (13.0, -7.0);
    let (here, there) = (body(first.as_ref().unwrap()), body(&picture(&away)));
    assert!(here > 100 && here.abs_diff(there) < here / 10, "{here} {there} pixels of a body");
    let colours: std::collections::BTreeSet<_> = first.unwrap().rgb.chunks(3).map(<[u8]>::to_vec).collect();
    assert!(colours.len() > 100, "a picture, not a blank: {} colours", colours.len());
    assert!(rebuilt.iter().all(|&difference| difference == 0.0), "{rebuilt:?}");
    assert!(wrong.iter().all(|&difference| difference > 5.0), "{wrong:?}");
}

#[test]
fn a_cart_is_where_it_is() {
    let (env, _) = random_episode("CartPole-v1", 0, 1);
    let mut scene = Scene::new(&env, 120, 60).unwrap();
    let mut centre = |x: f64, angle: f64| {
        let mut image = Image::new(120, 60);
        scene.draw(&Pose { positions: vec![x, angle], velocities: vec![0.0; 2] }, &mut image).unwrap();
        let pole: Vec<usize> = (0..120 * 60).filter(|&at| image.rgb[3 * at] == 204).map(|at| at % 120).collect();
        pole.iter().sum::<usize>() as f64 / pole.len() as f64 + 0.5
    };
    let (middle, right, leaning) = (centre(0.0, 0.0), centre(1.0, 0.0), centre(0.0, 0.5));
    let metre = 120.0 / 5.4;
    assert!((middle - 60.0).abs() < 0.6 && (right - middle - metre).abs() < 1.0, "{middle} {right}");
    assert!((leaning - middle - 0.5 * metre * 0.5_f64.sin()).abs() < 1.0, "{leaning}");
}

/// A V that loses nothing: x = max(x, 0) − max(−x, 0).
#[test]
fn a_v_that_loses_nothing_decodes_what_was_observed() {
    let (o, sign) = (4, [1.0_f32, -1.0]);
    let apart: Vec<f32> = (0..2 * o * o).map(|i| if (i / o) % o == i % o { sign[i / o / o] } else { 0.0 }).collect(); // [2O, O]
    let stay: Vec<f32> = (0..4 * o * o).map(|i| if i / (2 * o) == i % (2 * o) { 1.0 } else { 0.0 }).collect(); // [2O, 2O]
    let together = |rows: usize| -> Vec<f32> {
        (0..rows * 2 * o).map(|i| if i / (2 * o) == i % o { sign[i % (2 * o) / o] } else { 0.0 }).collect() // [rows, 2O]
    };
    let mut file = Checkpoint::default();
    let mut put = |name: &str, shape: &[usize], data: Vec<f32>| {
        file.tensors.insert(name.to_owned(), Array { shape: shape.to_vec(), data });
    };
    for (weights, biases, last) in
        [(names::ENCODER_WEIGHT, names::ENCODER_BIAS, 2 * o), (names::DECODER_WEIGHT, names::DECODER_BIAS, o)]
    {
        let layers = [(2 * o, o, apart.clone()), (2 * o, 2 * o, stay.clone()), (last, 2 * o, together(last))];
        for ((weight, bias), (rows, columns, data)) in weights.into_iter().zip(biases).zip(layers) {
            put(weight, &[rows, columns], data);
            put(bias, &[rows], vec![0.0; rows]);
        }
    }
    // The third number never varied where V was trained.
    put(names::NORMALIZER_MEAN, &[o], vec![0.5, -1.0, 0.125, 0.0]);
    put(names::NORMALIZER_INV_STD, &[o], vec![2.0, 0.25, 0.0, 1.0]);
    for (key, value) in [(meta::LOG_VAR_MIN, "-10"), (meta::LOG_VAR_MAX, "10"), (metadata::OBS_CLIP, "10")] {
        file.metadata.insert(key.to_owned(), value.to_owned());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vae.safetensors");
    std::fs::write(&path, file.to_bytes().unwrap()).unwrap();

    let codec = Codec::read(&path, o).unwrap();
    let decoded = codec.decode(&codec.encode(&[vec![0.75, -3.0, 9.0, 0.1], vec![-1.0, 7.0, 9.0, -0.2]]).unwrap()).unwrap();
    for (found, expected) in decoded.iter().zip([[0.75, -3.0, 0.125, 0.1], [-1.0, 7.0, 0.125, -0.2]]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }
    let error = format!("{:#}", Codec::read(&path, 348).err().unwrap());
    assert!(error.contains("348") && error.contains("found 4") && error.contains("vae.safetensors"), "{error}");
}

/// The shipped agent's V, with a decoder that says nothing: packed agents leave it out.
fn v_of(agent: &Unpacked, spoil: f32) -> Checkpoint {
    let mut file = Checkpoint::default();
    for (name, (shape, data)) in &agent.tensors {
        if name.starts_with("encoder.") || name.starts_with("normalizer.") {
            let data = data.iter().map(|&weight| if name == "encoder.4.bias" { weight + spoil } else { weight }).collect();
            file.tensors.insert(name.clone(), Array { shape: shape.clone(), data });
        }
    }
    let dims = &agent.settings.dims;
    let hidden = dims.v.hidden();
    let inner = hidden.as_slice().iter().rev().copied();
    let widths: Vec<usize> = [dims.latent_len()].into_iter().chain(inner).chain([dims.obs_len()]).collect();
    for (i, ends) in widths.windows(2).enumerate() {
        let (weight, bias, columns, rows) = (names::DECODER_WEIGHT[i], names::DECODER_BIAS[i], ends[0], ends[1]);
        file.tensors.insert(weight.to_owned(), Array { shape: vec![rows, columns], data: vec![0.0; rows * columns] });
        file.tensors.insert(bias.to_owned(), Array { shape: vec![rows], data: vec![0.0; rows] });
    }
    let clip = agent.settings.obs_clip.to_string();
    for (key, value) in [(meta::LOG_VAR_MIN, "-10"), (meta::LOG_VAR_MAX, "10"), (metadata::OBS_CLIP, &clip)] {
        file.metadata.insert(key.to_owned(), value.to_owned());
    }
    file
}

#[test]
fn a_dream_begins_in_reality_and_goes_its_own_way() {
    let bytes = AlignedBytes::new(dreamstep_fixtures::HUMANOID);
    let agent = unpack(&bytes).unwrap();
    let model = dreamstep_runtime::Model::load(&bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let codec = |spoil: f32| {
        let path = folder.path().join("vae.safetensors");
        v_of(&agent, spoil).write(&path).unwrap();
        Codec::read(&path, agent.settings.dims.obs_len()).unwrap()
    };
    let mut env = AnyEnv::make(&EnvConfig::from("Humanoid-v5")).unwrap();
    let episode = Episode::play(&mut env, Policy::Agent(&model), 1000, 30).unwrap();
    let codec_of_agent = codec(0.0);
    let known = codec_of_agent.encode(&episode.observations).unwrap();
    let dream = |dreamer, seed, temperature| {
        Dream::of(&episode, &model, &codec_of_agent, dreamer, dream_options(seed, temperature)).unwrap()
    };
    let own = dream(Dreamer::Controller, 1, 1.0);
    let far = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0_f32, |far, (a, b)| far.max((a - b).abs()));
    assert!(far(&own.latents[0], &known[0]) < 1e-4, "the first latent is V's of what was really seen");
    let last = own.latents.len() - 1;
    assert!(last > 1 && far(&own.latents[last], &known[last]) > 0.01, "{last} steps: nothing of reality enters");
    assert!((own.ended || last == 30) && own.returns.len() == last + 1 && own.returns[last] > 4.0 * last as f64, "{own:?}");
    assert_eq!(own, dream(Dreamer::Controller, 1, 1.0));
    assert!(own != dream(Dreamer::Controller, 2, 1.0) && own != dream(Dreamer::Controller, 1, 0.2));
    // Another policy dreams with its own actions.
    let ear = env.spec().actions.ear();
    let still = Episode { actions: vec![vec![0.0; env.spec().action()]; 30], ..episode.clone() };
    let other = Dream::of(&still, &model, &codec_of_agent, Dreamer::Actions(&ear), dream_options(1, 1.0)).unwrap();
    assert!(other.latents[0] == own.latents[0] && other.latents[1] != own.latents[1]);
    // A decoder of another V would draw nonsense.
    let error = Dream::of(&episode, &model, &codec(1.0), Dreamer::Controller, dream_options(1, 1.0)).unwrap_err();
    assert!(error.to_string().contains("another than the run's"), "{error}");
}

#[test]
fn a_panel_stands_still_where_there_is_no_state() {
    let (env, _) = random_episode("CartPole-v1", 0, 1);
    let mut scene = Scene::new(&env, 96, 72).unwrap();
    let at = |x: f64| Some(Pose { positions: vec![x, 0.0], velocities: vec![0.0; 2] });
    let poses = vec![None, at(0.0), None, at(1.0)];
    let strip = Strip { panel: Panel::Dream, poses, pictures: BTreeMap::new(), returns: Some(vec![0.0; 4]), ended: true };
    // Below the caption.
    let mut lower = |step: usize| {
        let mut image = Image::new(96, 72);
        strip.draw(step, &mut scene, &mut image).unwrap();
        (image.rgb[96 * 3 * 36..].to_vec(), image)
    };
    let [nothing, first, held, last, past] = [0, 1, 2, 3, 50].map(&mut lower);
    assert!(nothing.0.iter().all(|&grey| grey == 96));
    assert!(first.0 == held.0 && first.1 != held.1, "the same state, another caption");
    assert!(last.0 != held.0 && last == past);
}

#[test]
fn frames_keep_to_simulated_time() {
    let frame_steps = |steps, dt_s, fps| {
        let (shown, last) = (Shown { dt_s, fps }, steps);
        let frames = shown.frames(steps);
        assert!((0..last).all(|step| shown.has(step) == frames.contains(&step)), "{frames:?}");
        frames
    };
    assert_eq!(frame_steps(10, 0.02, 25), [0, 2, 4, 6, 8, 10]);
    assert_eq!(frame_steps(7, 0.015, 25), [0, 2, 5, 7], "0.04 s are 2⅔ steps");
    assert_eq!(frame_steps(3, 0.05, 40), [0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(frame_steps(2, 0.01, 25), [0, 2], "the last step is shown");
    for (dt_s, fps) in [(0.02, 50), (1.0 / 30.0, 30), (0.2, 25), (0.003, 24), (1.0 / 15.0, 60), (0.25, 4)] {
        frame_steps(700, dt_s, fps);
    }
}

#[test]
fn sizes_and_temperatures_are_checked() {
    assert_eq!(parse_size("320x240"), Ok([320, 240]));
    for wrong in ["320", "x", "31x240", "320x4097", "-320x240", "320x240x3", "320 x 240"] {
        assert!(parse_size(wrong).is_err(), "{wrong}");
    }
    assert_eq!(parse_temperature("0.5"), Ok(0.5));
    assert!(["0", "-1", "NaN", "inf", "warm"].iter().all(|wrong| parse_temperature(wrong).is_err()));
}

/// A film of a square that moves over a gradient.
fn paint(number: usize, image: &mut Image) {
    for (at, pixel) in image.rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = (at % image.width, at / image.width);
        pixel.copy_from_slice(&[(x * 4) as u8, (y * 5) as u8, 90]);
    }
    image.fill([3 * number, 7], [9, 9], [250, 250, 20]);
}

fn write(path: &std::path::Path, frames: usize, fps: u32) {
    let mut draw = |number: usize, image: &mut Image| {
        paint(number, image);
        Ok(())
    };
    let format = Format::of(path).unwrap();
    Film { size: [61, 41], fps, frames, draw: &mut draw }.write(path, format).unwrap();
}

#[test]
fn a_gif_reads_back_as_it_was_painted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.gif");
    write(&path, 12, 30);
    let bytes = std::fs::read(&path).unwrap();
    write(&path, 12, 30);
    assert_eq!(bytes, std::fs::read(&path).unwrap(), "the same frames, the same bytes");

    let mut reader = gif::Decoder::new(bytes.as_slice()).unwrap();
    assert_eq!((reader.width(), reader.height(), reader.repeat()), (61, 41, gif::Repeat::Infinite));
    let palette: Vec<[u8; 3]> = reader.global_palette().unwrap().as_chunks::<3>().0.to_vec();
    let (mut shown, mut painted) = (Image::new(61, 41), Image::new(61, 41));
    let (mut frames, mut time) = (0, 0);
    while let Some(frame) = reader.read_next_frame().unwrap() {
        assert_eq!((frame.left, frame.top, frame.width, frame.height), (0, 0, 61, 41));
        for (pixel, index) in shown.rgb.chunks_exact_mut(3).zip(frame.buffer.iter()) {
            if Some(*index) != frame.transparent {
                pixel.copy_from_slice(&palette[usize::from(*index)]);
            }
        }
        paint(frames, &mut painted);
        let far = difference(&shown, &painted);
        assert!(far < 6.0, "frame {frames}: {far}");
        time += frame.delay;
        frames += 1;
    }
    // 12 frames at 30 a second, in hundredths.
    assert_eq!((frames, time), (12, 40));
}

#[test]
fn a_film_that_breaks_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["film.gif", "film.mp4"] {
        let path = folder.path().join(name);
        let Ok(format) = Format::of(&path) else { continue };
        std::fs::write(&path, b"before").unwrap();
        let mut draw = |number: usize, _: &mut Image| match number {
            // Drawn once for the palette, then again.
            3 => anyhow::bail!("no third frame"),
            _ => Ok(()),
        };
        let error = Film { size: [40, 30], fps: 25, frames: 12, draw: &mut draw }.write(&path, format).unwrap_err();
        assert!(format!("{error:#}").contains("no third frame"), "{error:#}");
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        assert!(std::fs::read_dir(folder.path()).unwrap().all(|entry| {
            let name = entry.unwrap().file_name();
            name == "film.gif" || name == "film.mp4"
        }));
    }
}

#[test]
fn an_mp4_reads_back_as_it_was_painted() {
    if !has_ffmpeg() {
        return skip::not_installed("no ffmpeg in PATH");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.mp4");
    write(&path, 12, 30);
    let bytes = std::fs::read(&path).unwrap();
    let place = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap();
    assert!(place(b"ftyp") < place(b"moov") && place(b"moov") < place(b"mdat") && place(b"avc1") > 0);

    let mut command = Command::new("ffmpeg");
    command.args(["-loglevel", "error", "-i"]).arg(&path).args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
    let raw = command.output().unwrap();
    assert!(raw.status.success(), "{}", String::from_utf8_lossy(&raw.stderr));
    // One more column and row: sides are even.
    let frames: Vec<_> = raw.stdout.chunks(62 * 42 * 3).collect();
    assert_eq!((frames.len(), raw.stdout.len()), (12, 12 * 62 * 42 * 3));
    let mut painted = Image::new(61, 41);
    for (number, frame) in frames.into_iter().enumerate() {
        paint(number, &mut painted);
        let mut shown = Image::new(61, 41);
        for (row, pixels) in shown.rgb.chunks_exact_mut(3 * 61).enumerate() {
            pixels.copy_from_slice(&frame[row * 3 * 62..][..3 * 61]);
        }
        let far = difference(&shown, &painted);
        assert!(far < 12.0, "frame {number}: {far}");
    }
}

#[test]
fn other_extensions_are_refused() {
    for path in ["film.avi", "film", ".gif/film", "gif"] {
        let error = format!("{:#}", Format::of(path.as_ref()).unwrap_err());
        assert!(error.contains(path) && error.contains(".mp4 or .gif"), "{error}");
    }
    assert_eq!(Format::of("FILM.GIF".as_ref()).unwrap(), Format::Gif);
}

#[test]
fn a_picture_is_fitted_into_its_panel_and_each_pixel_is_a_mean() {
    let rgb = (0..4 * 2).flat_map(|i| [10 * i as u8, 200, 7]).collect();
    let picture = Picture { width: 4, height: 2, rgb };
    let half = Image::fitting(&picture, 2, 2);
    // 2 × 1 pixels in the middle of 2 × 2: of the columns 0, 1 and 2, 3 of both rows.
    assert_eq!(half.rgb, [[25, 200, 7], [45, 200, 7]].concat().into_iter().chain([0; 6]).collect::<Vec<u8>>());
    let doubled = Image::fitting(&picture, 8, 6);
    let pixel = |x: usize, y: usize| &doubled.rgb[3 * (y * 8 + x)..3 * (y * 8 + x) + 3];
    assert!([0, 5].iter().all(|&y| pixel(3, y) == [0, 0, 0]), "black above and below");
    assert!([(0, 1, 0), (7, 1, 30), (1, 4, 40), (6, 3, 70)].iter().all(|&(x, y, red)| pixel(x, y) == [red, 200, 7]));
    assert_eq!(Image::fitting(&picture, 4, 2).rgb, picture.rgb);
    let empty = Picture { width: 0, height: 0, rgb: Vec::new() };
    assert_eq!(Image::fitting(&empty, 3, 3), Image::new(3, 3));
}
