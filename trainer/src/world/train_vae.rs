//! `train --stage vae`: fit the normaliser, then V, to single observations (Ha & Schmidhuber 2018 §2.1).
//!
//! In: recorded episodes. Out: `vae.safetensors` with `normalizer.*` (of vectors), `encoder.*`, `decoder.*`.

use crate::agent::v::Preprocessing;
use crate::data::dataset::{Dataset, Pools, Reading, pool_step};
use crate::data::split::Split;
use crate::run::config::VaeConfig;
use crate::run::output::warning;
use crate::world::epochs::{Sums, Updates};
use crate::world::nets::{are_frames, indices, inputs, matrix, normals, rows};
use crate::world::optim::Optimizer;
use crate::world::resume::{Network, Trained, Training};
use crate::world::samples::Samples;
use crate::world::schedule::Schedule;
use crate::world::stage::{StageInput, provenance};
use crate::world::vae::{Vae, VaeLayers, VaeLoss, VaeShape};
use anyhow::{Result, ensure};
use dreamstep_core::rng::{Philox, Stream};
use tch::{Device, Tensor, nn};

/// Rows validated at a time.
const EVAL_BATCH: i64 = 4096;
/// Episodes and frames at most, by which the first weights are scaled, and whose mean is the mean frame.
const SCALED_BY: [usize; 2] = [16, 256];
/// Frames validated at a time.
const EVAL_FRAMES: i64 = 256;

/// What an error in each dimension weighs, `[O]`: as much as its block.
fn weights(of_blocks: &[f64], blocks: &[(String, usize)]) -> Result<Vec<f32>> {
    let names = || blocks.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    ensure!(
        of_blocks.len() == blocks.len(),
        "vae.block_weights: expected {} ({}) or none, found {}",
        blocks.len(),
        names(),
        of_blocks.len()
    );
    let every = of_blocks.iter().zip(blocks).flat_map(|(&weight, (_, len))| std::iter::repeat_n(weight as f32, *len));
    Ok(every.collect())
}

/// Trains V and writes the run's `vae.safetensors` (the best epoch's weights) and `vae.last.safetensors`; resumes a
/// training that was killed ([`crate::world::resume`]).
///
/// # Errors
/// The data is unusable, a state is damaged or of another training, the loss stops being finite, or a file cannot be written.
/// [`crate::run::interrupt::Interrupted`].
pub fn train_vae(input: &StageInput) -> Result<Trained> {
    let (config, data) = (&input.config.vae, input.data);
    let rng = Philox::new(input.config.seed);
    tch::set_num_threads(input.config.torch_threads as i32);

    // ---- data: every observation of an episode is a row, its last one too
    input.check_sizes()?;
    let split = Split::new(input.config.seed, data.len(), config.validation)?;
    let shape = VaeShape::asked(config, data.dims().0, data.frame())?;
    let preprocessing = match data.frame() {
        Some(_) => Preprocessing::Scale,
        None => Preprocessing::Whiten {
            normalizer: data.normalizer(&split.train, config.min_std)?,
            clip: config.obs_clip as f32,
        },
    };
    let pool = data.pool_rows(config.pool);
    let feed = Feed {
        data,
        config,
        device: input.device.into(),
        preprocessing: &preprocessing,
        rng,
        pools: Reading {
            train: Pools::new(data, &split.train, pool, rng, Stream::VaeOrder),
            validation: Pools::new(data, &split.validation, pool, rng, Stream::VaeOrder),
        },
    };
    if config.flip {
        warning(
            "vae.flip = true: V sees frames mirrored, M hears actions as they were: where one means a side, they contradict each other",
        );
    }
    // ---- network
    let vs = nn::VarStore::new(input.device.into());
    let mut vae = Vae::new(&vs.root(), shape.clone(), &preprocessing.alive(shape.obs), rng);
    match shape.layers {
        VaeLayers::Identity(_) => vae.decode_as_it_is(config.obs_clip)?,
        VaeLayers::Mlp(_) => {}
        VaeLayers::Convolutional(_) => {
            let frames = feed.some_frames(&split.train)?;
            vae.scale(&frames);
            if let Some([_, _, channels]) = data.frame().filter(|_| config.contrast_weight > 0.0) {
                vae = vae.contrasted(&frames, channels, config.contrast_weight);
            }
        }
    }
    if !config.block_weights.is_empty() {
        let blocks = crate::env::spec(&input.config.env)?.blocks;
        vae = vae.weighed(Tensor::from_slice(&weights(&config.block_weights, &blocks)?).to_device(input.device.into()));
    }

    let samples = |frame| {
        let epochs = [config.samples, config.epochs];
        Samples::new(data, &split.validation, frame, config.latent, epochs, input.device.into())
    };
    let samples = data.frame().map(samples).transpose()?;

    // ---- epochs
    if input.force || !input.run.training(Network::Vae.name()).exists() {
        Samples::clear(input.run)?;
    }
    let optimizer = Optimizer::new(&vs, config.optimizer, config.learning_rate);
    let schedule = Schedule::new(&config.schedule, config.learning_rate);
    let mut training = Training::start(Network::Vae, input, &vs, optimizer, schedule)?;
    let pools = feed.epochs(training.next_epoch()..=config.epochs);
    let train = |rows: &Rows, _, updates: &mut Updates<'_>| {
        rows.order.chunks(config.batch_size).try_for_each(|batch| {
            let at = indices(batch, input.device.into());
            let [x, noise] = [&rows.x, &rows.noise].map(|all| all.index_select(0, &at));
            let x = rows.flipped(inputs(&x), &at);
            updates.take(batch.len(), |optimizer| update(&vae, optimizer, config, &x, &noise).parts())
        })
    };
    let validate = |rows: &Rows, sums: &mut Sums| {
        let batch = if are_frames(&rows.x) { EVAL_FRAMES } else { EVAL_BATCH };
        for (x, noise) in rows.x.split(batch, 0).iter().zip(rows.noise.split(batch, 0)) {
            let loss = vae.loss(&inputs(x), &noise, config.kl_weight, config.kl_tolerance, false);
            sums.add(x.size()[0] as usize, &loss.parts());
        }
    };
    let after = |epoch| samples.as_ref().map_or(Ok(()), |samples| samples.draw(input.run, &vae, epoch));
    training.run(&feed.pools, pools, data.rows(&split.train), train, validate, after)?;

    // ---- result
    let mut frame = provenance("vae", input, &split);
    shape.say(&mut frame);
    preprocessing.write(&mut frame);
    training.write(&frame, || ())
}

/// What a training reads, in the order in which it does.
struct Feed<'a> {
    data: &'a Dataset,
    config: &'a VaeConfig,
    device: Device,
    preprocessing: &'a Preprocessing,
    rng: Philox,
    pools: Reading,
}

/// A pool, ready to be trained or measured on.
struct Rows {
    /// `[N, O]` whitened vectors, or frames in bytes.
    x: Tensor,
    /// Which frames are mirrored: their sizes, and `[N]` of booleans.
    flip: Option<([i64; 3], Tensor)>,
    /// `[N, Z]` standard normal.
    noise: Tensor,
    /// The order in which to train on the rows.
    order: Vec<i64>,
}

impl Rows {
    /// The frames `x` `[B, O]`, which are those at `at` `[B]`, some of them mirrored.
    fn flipped(&self, x: Tensor, at: &Tensor) -> Tensor {
        let Some(([h, w, c], flags)) = &self.flip else { return x };
        let flags = flags.index_select(0, at).view([-1, 1]);
        let mirrored = x.view([-1, *h, *w, *c]).flip([2]).flatten(1, -1);
        mirrored.where_self(&flags, &x)
    }
}

impl Feed<'_> {
    /// Frames from all over the episodes `ids`, to scale the first weights by.
    fn some_frames(&self, ids: &[usize]) -> Result<Tensor> {
        let every = ids.len().div_ceil(SCALED_BY[0]);
        let ids: Vec<usize> = ids.iter().copied().step_by(every).collect();
        let all = rows(self.data, &ids, self.preprocessing, self.device)?;
        let every = (all.size()[0] as usize).div_ceil(SCALED_BY[1]);
        Ok(inputs(&all.slice(0, None, None, every as i64)))
    }

    fn epochs(&self, epochs: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = Result<Rows>> + Send {
        let draw = |x, epoch, number| self.drawn(x, epoch, number);
        self.pools.stream(
            self.data,
            epochs,
            |ids| rows(self.data, ids, self.preprocessing, self.device),
            Tensor::shallow_clone,
            draw,
        )
    }

    /// With what is drawn for pool `number` of `epoch`.
    fn drawn(&self, x: Tensor, epoch: usize, number: usize) -> Rows {
        let (n, latent) = (x.size()[0] as usize, self.config.latent);
        let step = pool_step(epoch, Some(number));
        let noise = matrix(&normals(self.rng, Stream::VaeNoise, step, n * latent), latent, self.device);
        let mut order: Vec<i64> = (0..n as i64).collect();
        self.rng.shuffle(Stream::VaeOrder, step, &mut order);
        // Held-out pools, which are of epoch 0, stay as they are.
        let frame = self.data.frame().filter(|_| self.config.flip && epoch > 0);
        let flip = frame.map(|frame| {
            let flags: Vec<bool> = (0..n as u32).map(|i| self.rng.uniform(Stream::VaeFlip, step, i) < 0.5).collect();
            (frame.map(|size| size as i64), Tensor::from_slice(&flags).to_device(self.device))
        });
        Rows { x, flip, noise, order }
    }
}

/// One update of V's weights: the loss of `x` `[B, O]` with standard normal `noise` `[B, Z]`, its gradient, and
/// the optimiser's step. Returns the loss before the step.
pub fn update(vae: &Vae, optimizer: &mut Optimizer, config: &VaeConfig, x: &Tensor, noise: &Tensor) -> VaeLoss {
    let loss = vae.loss(x, noise, config.kl_weight, config.kl_tolerance, config.amp);
    optimizer.backward_step(&loss.total, None);
    loss
}
