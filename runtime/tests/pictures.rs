//! Agents that see pictures: every layer against a naive chain in the contract's order, the same bits on every back end, frames prepared.

use dreamstep_core::names::checkpoint as names;
use dreamstep_core::obs::{Colour, Filter, Image, Preparer};
use dreamstep_core::pack::{AlignedBytes, SelfTest, Tensors, with_self_test};
use dreamstep_core::precision::{BF16_INPUT_BITS, F16_INPUT_BITS, Precision, bf16_to_f32, f16_to_f32, round_input};
use dreamstep_core::v::{Convolution, Convolutions, Encoder};
use dreamstep_fixtures::synthetic;
use dreamstep_runtime::{Agent, Backend, Dims, LoadError, Model, SelfTestError, StepError, memory_len, state_len};

/// The paper's, on a frame that is prepared as its own experiment's was.
const PAPER: Dims = Dims::pictures(
    Image::plain([96, 96, 3]).cropped([0, 0, 84, 96]).resized([64, 64], Filter::Bilinear),
    3,
    Convolutions::PAPER,
    32,
    64,
    5,
);

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn chain(all: &[(usize, usize, usize, usize)]) -> Convolutions {
    let all: Vec<_> =
        all.iter().map(|&(channels, kernel, stride, padding)| Convolution { channels, kernel, stride, padding }).collect();
    Convolutions::new(&all).unwrap()
}

/// Chains of every length, with channels that fill no block, paddings, strides and kernels of all sorts.
fn odd() -> Vec<Dims> {
    let image = |frame| Image::plain(frame);
    let of = |image, all: &[(usize, usize, usize, usize)]| Dims::pictures(image, 2, chain(all), 3, 7, 2);
    vec![
        of(image([9, 7, 3]), &[(5, 3, 1, 0)]),
        of(image([9, 7, 1]), &[(17, 3, 2, 1)]),
        of(image([12, 10, 1]), &[(5, 3, 1, 1), (33, 2, 2, 0)]),
        of(image([12, 11, 4]), &[(16, 5, 3, 4), (20, 3, 1, 2)]),
        of(image([16, 12, 2]), &[(40, 4, 2, 1), (3, 3, 2, 2), (70, 1, 1, 0)]),
        of(
            image([20, 24, 3]).coloured(Colour::Grey).resized([17, 19], Filter::Area),
            &[(8, 3, 1, 1), (8, 3, 2, 1), (80, 3, 1, 1), (9, 3, 2, 0)],
        ),
        of(image([18, 18, 3]).inverted(), &[(4, 3, 1, 1), (5, 3, 1, 1), (6, 3, 2, 1), (7, 3, 1, 1), (8, 2, 1, 0)]),
        of(
            image([18, 18, 3]).coloured(Colour::Reversed),
            &[(4, 3, 1, 1), (5, 3, 1, 1), (6, 3, 2, 1), (7, 3, 1, 1), (8, 2, 1, 0), (18, 2, 2, 1)],
        ),
    ]
}

/// A number as the file's precision has it.
fn weight(precision: Precision, value: f32) -> f32 {
    match precision {
        Precision::F16 => f16_to_f32(half::f16::from_f32(value).to_bits()),
        Precision::Bf16 => bf16_to_f32(half::bf16::from_f32(value).to_bits()),
        _ => value,
    }
}

fn input(precision: Precision, value: f32) -> f32 {
    match precision {
        Precision::F16 => round_input::<F16_INPUT_BITS>(value),
        Precision::Bf16 => round_input::<BF16_INPUT_BITS>(value),
        _ => value,
    }
}

/// z in the contract's order, straight from the checkpoint: kernel rows, columns, channels ascending, multiply, then add.
fn naive(dims: &Dims, tensors: &Tensors, precision: Precision, picture: &[u8]) -> Vec<f32> {
    let Encoder::Conv { convolutions, latent } = dims.v else { panic!("a convolutional V") };
    let image = dims.obs.image().unwrap().prepared();
    let scale = 1.0 / 255.0_f32;
    let mut x: Vec<f32> = picture.iter().map(|&byte| input(precision, f32::from(byte) * scale)).collect();
    for (i, convolution) in convolutions.iter().enumerate() {
        let ([height, width, channels], [rows, columns, outputs]) =
            (convolutions.map(image, i), convolutions.map(image, i + 1));
        let (w, b) = (&tensors[names::ENCODER_CONV_WEIGHT[i]].1, &tensors[names::ENCODER_CONV_BIAS[i]].1);
        let k = convolution.kernel;
        let mut out = Vec::new();
        for (y, x_, n) in (0..rows).flat_map(|y| (0..columns).flat_map(move |x| (0..outputs).map(move |n| (y, x, n)))) {
            let mut sum = b[n];
            for (ky, kx, c) in (0..k).flat_map(|ky| (0..k).flat_map(move |kx| (0..channels).map(move |c| (ky, kx, c)))) {
                let (row, column) = (y * convolution.stride + ky, x_ * convolution.stride + kx);
                let (row, column) = (row.checked_sub(convolution.padding), column.checked_sub(convolution.padding));
                if let (Some(row), Some(column)) = (row.filter(|&row| row < height), column.filter(|&column| column < width))
                {
                    let w = weight(precision, w[((n * channels + c) * k + ky) * k + kx]);
                    sum += w * x[(row * width + column) * channels + c];
                }
            }
            out.push(input(precision, sum.max(0.0)));
        }
        x = out;
    }
    let [height, width, channels] = convolutions.map(image, convolutions.len());
    let (w, b) = (&tensors[names::FC_MU[0]].1, &tensors[names::FC_MU[1]].1);
    let row = |n: usize| {
        (0..height * width * channels).fold(b[n], |sum, at| {
            let (pixel, c) = (at / channels, at % channels);
            sum + weight(precision, w[n * height * width * channels + c * height * width + pixel]) * x[at]
        })
    };
    (0..latent).map(row).collect()
}

fn file(dims: &Dims, precision: Precision) -> AlignedBytes {
    synthetic::agent_with(&synthetic::with(synthetic::settings(dims), |s| s.precision = precision), 3)
}

fn latent(bytes: &[u8], backend: Backend, picture: &[u8]) -> Vec<f32> {
    let model = Model::load_with(bytes, backend).unwrap();
    // What memory holds does not matter.
    let mut memory = vec![f32::NAN; memory_len(model.dims())];
    let mut agent = Agent::new(model, &mut memory).unwrap();
    agent.act_prepared(&[!0, 0].repeat(picture.len())[..picture.len()]).unwrap();
    agent.act_prepared(picture).unwrap();
    agent.latent().to_vec()
}

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

#[test]
fn every_chain_is_the_contracts_to_the_bit() {
    for dims in odd().into_iter().chain([PAPER]) {
        let tensors = synthetic::tensors(&dims, 3);
        for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
            let bytes = file(&dims, precision);
            for t in 0..2 {
                let picture = synthetic::picture(5, t, dims.obs_len());
                let expected = naive(&dims, &tensors, precision, &picture);
                for backend in backends() {
                    let found = latent(&bytes, backend, &picture);
                    assert_eq!(bits(&found), bits(&expected), "{precision:?} {backend:?} {dims:?}");
                }
            }
        }
    }
}

#[test]
fn bytes_are_the_same_everywhere_and_near_the_numbers() {
    for dims in odd().into_iter().chain([PAPER]) {
        let [numbers, bytes] = [Precision::F32, Precision::I8].map(|precision| file(&dims, precision));
        let (mut error, mut size) = (0.0, 0.0);
        for t in 0..4 {
            let picture = synthetic::picture(5, t, dims.obs_len());
            let expected = latent(&numbers, Backend::Portable, &picture);
            let found = latent(&bytes, Backend::Portable, &picture);
            for backend in backends() {
                assert_eq!(bits(&latent(&bytes, backend, &picture)), bits(&found), "{backend:?} {dims:?}");
            }
            for (a, b) in expected.iter().zip(&found) {
                (error, size) = (error + (a - b).powi(2), size + a.powi(2));
            }
        }
        let relative = (error / size).sqrt();
        println!("{relative:.4} {:?}", dims.v);
        assert!(relative < 0.1, "{relative} of {dims:?}");
    }
}

#[test]
fn a_frame_is_prepared_as_hosts_prepare_it() {
    for dims in odd().into_iter().chain([PAPER]) {
        let image = *dims.obs.image().unwrap();
        let [height, width, channels] = image.frame;
        for precision in Precision::ALL {
            let bytes = file(&dims, precision);
            let model = Model::load(&bytes).unwrap();
            let mut memory = vec![0.0; memory_len(model.dims())];
            let mut agent = Agent::new(model, &mut memory).unwrap();
            let stride = width * channels + 5;
            let frame = synthetic::picture(6, 0, (height - 1) * stride + width * channels);
            let mut prepared = vec![0; image.len()];
            Preparer::new(image).unwrap().prepare(&frame, stride, &mut prepared);
            let mut actions = [[0.0; 3]; 4];
            let a = dims.action_len();
            agent.act_image(&frame, stride, &mut actions[0][..a]).unwrap();
            actions[1][..a].copy_from_slice(agent.act_prepared(&prepared).unwrap());
            let numbers: Vec<f32> = prepared.iter().map(|&byte| byte.into()).collect();
            agent.act(&numbers, &mut actions[2][..a]).unwrap();
            agent.advance().unwrap();
            agent.reset();
            agent.peek_image(&frame, stride, &mut actions[3][..a]).unwrap();
            assert!(actions.iter().all(|action| bits(action) == bits(&actions[0])), "{actions:?}");
            assert!(!agent.has_acted());
        }
    }
}

#[test]
fn what_is_no_frame_is_refused_and_leaves_no_trace() {
    let dims = odd()[0];
    let bytes = file(&dims, Precision::F32);
    let mut memory = vec![0.0; memory_len(&dims)];
    let mut agent = Agent::new(Model::load(&bytes).unwrap(), &mut memory).unwrap();
    let (frame, mut action) = (vec![7; 9 * 7 * 3], [5.0; 2]);
    assert_eq!(agent.act_image(&frame[1..], 21, &mut action), Err(StepError::FrameLength { expected: 189, found: 188 }));
    assert_eq!(agent.act_image(&frame, 20, &mut action), Err(StepError::FrameStride { expected: 21, found: 20 }));
    assert_eq!(
        agent.act_image(&frame, usize::MAX, &mut action),
        Err(StepError::FrameLength { expected: usize::MAX, found: 189 })
    );
    assert_eq!(agent.act_image(&frame, 21, &mut action[..1]), Err(StepError::ActionLength { expected: 2, found: 1 }));
    for (value, index) in [(-1.0, 3), (256.0, 0), (0.5, 188), (f32::NAN, 7), (f32::INFINITY, 7)] {
        let mut numbers = vec![9.0; 189];
        numbers[index] = value;
        let error = agent.act(&numbers, &mut action).unwrap_err();
        assert!(matches!(error, StepError::NotAByte { index: at, .. } if at == index), "{error}");
    }
    assert!(!agent.has_acted() && action == [5.0; 2]);
    let vectors = synthetic::agent(&synthetic::ODD, 1);
    let mut memory = vec![0.0; memory_len(&synthetic::ODD)];
    let mut agent = Agent::new(Model::load(&vectors).unwrap(), &mut memory).unwrap();
    assert_eq!(agent.act_image(&frame, 21, &mut [0.0]), Err(StepError::ObservationKind { expected: "vector" }));
}

/// The preset in 100 KiB, whatever the precision.
#[test]
fn the_papers_chain_works_in_a_hundred_kibibytes() {
    let dims = Dims::pictures(*PAPER.obs.image().unwrap(), 3, Convolutions::PAPER, 32, 256, 5);
    let bytes = 4 * memory_len(&dims);
    assert!(bytes <= 100 * 1024, "{bytes}");
}

/// A deployed agent is given new vectors, those of its own precision: frames that stay bytes.
#[test]
fn a_self_test_of_pictures_holds_and_notices_a_changed_one() {
    for (dims, precision) in odd().into_iter().flat_map(|dims| Precision::ALL.map(|precision| (dims, precision))) {
        let bare = file(&dims, precision);
        let mut memory = vec![0.0; memory_len(&dims)];
        let mut agent = Agent::new(Model::load(&bare).unwrap(), &mut memory).unwrap();
        let mut selftest = SelfTest::default();
        for t in 0..3 {
            let (observation, mut action) = (synthetic::observation(&dims, 2, t), vec![0.0; dims.action_len()]);
            agent.step(&observation, &mut action).unwrap();
            selftest.observations.push(observation);
            selftest.actions.push(action);
        }
        let digest = agent.self_test_digest();
        let tested = AlignedBytes::new(&with_self_test(&bare, &selftest, digest).unwrap());
        for backend in backends() {
            assert_eq!(Model::load_with(&tested, backend).unwrap().self_test(&mut memory), Ok(()), "{backend:?} {dims:?}");
        }
        let told = |digest, observations| {
            let selftest = SelfTest { observations, ..selftest.clone() };
            let bytes = AlignedBytes::new(&with_self_test(&tested, &selftest, digest).unwrap());
            Model::load(&bytes).unwrap().self_test(&mut vec![0.0; memory_len(&dims)])
        };
        assert_eq!(told(digest, selftest.observations.clone()), Ok(()));
        assert!(matches!(told(!digest, selftest.observations.clone()), Err(SelfTestError::Digest { .. })));
        let inverted = selftest.observations.iter().map(|row| row.iter().map(|value| 255.0 - value).collect()).collect();
        assert!(matches!(told(digest, inverted), Err(SelfTestError::Action { step: 0, .. })), "{dims:?}");
    }
}

/// From a frame on, in the middle of a tick: another agent, and another precision, goes on.
#[test]
fn a_state_saved_after_a_frame_goes_on_in_another_agent() {
    for dims in odd() {
        let [height, width, channels] = dims.obs.image().unwrap().frame;
        let frame = |t| synthetic::picture(8, t, height * width * channels);
        let step = |agent: &mut Agent<'_, '_>, t| {
            let mut action = vec![0.0; dims.action_len()];
            agent.step_image(&frame(t), width * channels, &mut action).unwrap();
            bits(&action)
        };
        let files = [Precision::F32, Precision::I8].map(|precision| file(&dims, precision));
        let mut memories = [(); 2].map(|()| vec![f32::NAN; memory_len(&dims)]);
        let [first, second] = &mut memories;
        let [whole, bytes] = files.each_ref().map(|file| Model::load(file).unwrap());
        let mut agent = Agent::new(whole, first).unwrap();
        step(&mut agent, 0);
        agent.act_image(&frame(1), width * channels, &mut vec![0.0; dims.action_len()]).unwrap();
        let mut state = vec![0; state_len(&dims)];
        agent.save_state(&mut state).unwrap();
        let mut other = Agent::new(whole, second).unwrap();
        step(&mut other, 5);
        other.load_state(&state).unwrap();
        for agent in [&mut agent, &mut other] {
            agent.advance().unwrap();
        }
        assert_eq!(step(&mut agent, 2), step(&mut other, 2), "{dims:?}");
        assert_eq!(agent.self_test_digest(), other.self_test_digest());
        // What M remembers stays when bytes take over.
        let before = bits(agent.hidden());
        agent.replace_model(bytes).unwrap();
        assert_eq!(bits(agent.hidden()), before);
        other.replace_model(bytes).unwrap();
        assert_eq!(step(&mut agent, 3), step(&mut other, 3));
    }
}

/// As wide as a file may ask for: counted, not overflowed, and refused for what is missing.
#[test]
fn the_widest_chain_is_counted() {
    let widest = Dims::pictures(Image::plain([4, 4, 4]), 1, chain(&[(4096, 1, 1, 0); 6]), 2, 2, 1);
    let deep =
        Dims::pictures(Image::plain([1800, 1800, 1]), 1, chain(&[(1, 1, 1, 0), (1, 16, 16, 15), (1, 16, 16, 0)]), 2, 2, 1);
    for (dims, floor) in [(widest, 2 * 4 * 4 * 4096), (deep, 1800 * 1800 / 4)] {
        dims.check().unwrap();
        let len = memory_len(&dims);
        assert!((floor..100 * floor).contains(&len), "{len} of {dims:?}");
    }
    let unbounded = Dims::pictures(Image::plain([1024, 1024, 1]), 1, chain(&[(4096, 1, 1, 0)]), 2, 2, 1);
    assert!(matches!(unbounded.check(), Err(LoadError::BadParts { what: "v.convolutions", .. })));
}
