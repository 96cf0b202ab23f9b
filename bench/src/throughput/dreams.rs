//! How many ticks of dreams does this machine make in a second, by batch and by threads? And libtorch, of the same dream?
//!
//! A tick is the controller, the LSTM, the MDN head, the choice of a component and a normal draw. In the runtime every thread has
//! [`DreamBatch`] of its own over one shared model. libtorch's is written with the trainer's networks; before it is timed its head must
//! agree with the runtime's on the same hidden state. libtorch draws from its own generator, so that no two dreams are the same, but the
//! work is.

use super::Options;
use crate::agents::Size;
use crate::report::{Cell, Table};
use crate::timing::{Contender, interleave};
use anyhow::{Context, Result, anyhow, bail, ensure};
use dreamstep::run::checkpoint::{Array, Checkpoint};
use dreamstep::world::mdnrnn::{MdnRnn, MdnRnnShape, MemoryState};
use dreamstep::world::nets::{import, matrix, to_vec};
use dreamstep_core::names::checkpoint::{FC_BIAS, FC_WEIGHT};
use dreamstep_core::pack::unpack;
use dreamstep_core::rng::Philox;
use dreamstep_core::schema::{Squash, Target};
use dreamstep_fixtures::{HUMANOID, synthetic};
use dreamstep_runtime::{
    Agent, Dims, DreamBatch, DreamOptions, DreamStart, Model, Precision, Termination, dreams_memory_len, memory_len,
};
use std::hint::black_box;
use std::thread;
use tch::{Kind, Tensor, nn};

/// The largest relative difference between the two heads that is rounding.
const ALLOWED: f64 = 1e-4;

/// The dream in libtorch.
struct Peer {
    model: MdnRnn,
    fc_weight: Tensor, // [A, Z+H]
    fc_bias: Tensor,   // [A]
    squash: Squash,
    dims: Dims,
    reward_offset: f64,
    device: tch::Device,
    _variables: nn::VarStore,
}

/// A batch of dreams in libtorch.
struct PeerState {
    z: Tensor, // [N, Z]
    memory: MemoryState,
}

impl Peer {
    /// The agent in `file`, on `device`.
    fn new(file: &[u8], device: tch::Device) -> Result<Self> {
        let unpacked = unpack(file).map_err(|error| anyhow!("the shipped agent: {error}"))?;
        let settings = unpacked.settings;
        ensure!(settings.target == Target::Next, "the shipped agent: expected a head that predicts z, found changes");
        let dims = settings.dims;
        let (Some(cell), Some(mixture)) = (dims.cell(), dims.mixture()) else {
            bail!("the shipped agent: expected an M, found none")
        };
        let array = |(name, (shape, data)): (&String, &(Vec<usize>, Vec<f32>))| {
            (name.clone(), Array { shape: shape.clone(), data: data.clone() })
        };
        let checkpoint = Checkpoint { tensors: unpacked.tensors.iter().map(array).collect(), ..Checkpoint::default() };
        let variables = nn::VarStore::new(device);
        let shape = MdnRnnShape {
            action: dims.action_len(),
            latent: dims.latent_len(),
            hidden: dims.hidden_len(),
            cell,
            mixture,
            target: settings.target,
            mixtures: dims.mixtures(),
            log_sigma_min: f64::from(settings.log_sigma_min),
        };
        let model = MdnRnn::new(&variables.root(), shape, Philox::new(0));
        import(&variables, &checkpoint)?;
        let features = dims.latent_len() + dims.hidden_len();
        let fc_weight = matrix(checkpoint.tensor(FC_WEIGHT, &[dims.action_len(), features])?, features, device);
        let fc_bias = Tensor::from_slice(checkpoint.tensor(FC_BIAS, &[dims.action_len()])?).to_device(device);
        let reward_offset = f64::from(settings.reward_offset);
        Ok(Self { model, fc_weight, fc_bias, squash: settings.squash, dims, reward_offset, device, _variables: variables })
    }

    /// `count` dreams that begin at `latent`.
    fn start(&self, latent: &[f32], count: usize) -> PeerState {
        let z = matrix(latent, latent.len(), self.device).repeat([count as i64, 1]);
        PeerState { z, memory: self.model.zero_state(count) }
    }

    /// One tick of all of them: rewards and terminal probabilities, `[N]` each.
    fn step(&self, state: &mut PeerState) -> [Tensor; 2] {
        let features = Tensor::cat(&[&state.z, &state.memory.h], 1); // [N, Z+H]
        let raw = features.linear(&self.fc_weight, Some(&self.fc_bias));
        let action = match self.squash {
            Squash::Clamp => raw.clamp(-1.0, 1.0),
            Squash::Tanh => raw.tanh(),
        };
        state.memory = self.model.step(&state.z, &action, &state.memory);
        let head = self.model.predict(&state.memory.h, &state.z);
        // The shipped agent's mixture is joint.
        let component = head.logits.squeeze_dim(2).softmax(-1, Kind::Float).multinomial(1, true); // [N, 1]
        let at = component.unsqueeze(-1).expand([-1, 1, self.dims.latent_len() as i64], false); // [N, 1, Z]
        let (mean, log_sigma) = (head.means.gather(1, &at, false), head.log_sigmas.gather(1, &at, false));
        state.z = (&mean + log_sigma.exp() * mean.randn_like()).squeeze_dim(1);
        [head.reward + self.reward_offset, head.terminal_logit.sigmoid()]
    }

    /// The largest difference between the runtime's head and this one on the same hidden state, over the root mean square of each kind
    /// of output where that is the larger; from some steps of an episode.
    fn check(&self, model: &Model<'_>) -> Result<f64> {
        let dims = &self.dims;
        let mut memory = vec![0.0; memory_len(dims)];
        let mut agent = Agent::new(*model, &mut memory)?;
        let mut action = vec![0.0; dims.action_len()];
        let mut worst = 0.0_f64;
        for t in 0..4 {
            agent.step(&synthetic::observation(dims, 0, t), &mut action)?;
            let hidden = agent.hidden().to_vec();
            let head = agent.predict().context("the shipped agent: expected an MDN head, found none")?;
            let grid = || (0..dims.mixtures()).flat_map(|k| (0..dims.latent_len()).map(move |i| (k, i)));
            let ours: [Vec<f32>; 5] = [
                grid().map(|(k, i)| head.mean(k, i)).collect(),
                grid().map(|(k, i)| head.sigma(k, i)).collect(),
                (0..dims.mixtures()).map(|k| head.weight(k, 0)).collect(),
                vec![head.reward()],
                vec![head.terminal_probability()],
            ];
            let latent = matrix(agent.latent(), dims.latent_len(), self.device);
            let head = self.model.predict(&matrix(&hidden, dims.hidden_len(), self.device), &latent);
            let theirs = [
                ("means", head.means),
                ("sigmas", head.log_sigmas.exp()),
                ("weights", head.logits.squeeze_dim(2).softmax(-1, Kind::Float)),
                ("reward", head.reward + self.reward_offset),
                ("terminal probability", head.terminal_logit.sigmoid()),
            ];
            for (ours, (name, theirs)) in ours.iter().zip(&theirs) {
                worst = worst.max(agreement(name, ours, &to_vec(theirs)?)?);
            }
        }
        Ok(worst)
    }
}

/// The largest |a − b| over max(|a|, root mean square of a).
fn agreement(name: &str, ours: &[f32], theirs: &[f32]) -> Result<f64> {
    ensure!(ours.len() == theirs.len(), "{name}: expected {} values of libtorch, found {}", ours.len(), theirs.len());
    let rms = (ours.iter().map(|&a| f64::from(a).powi(2)).sum::<f64>() / ours.len() as f64).sqrt();
    let mut worst = 0.0_f64;
    for (i, (&a, &b)) in ours.iter().zip(theirs).enumerate() {
        let difference = (f64::from(a) - f64::from(b)).abs() / f64::from(a).abs().max(rms);
        let same = difference <= ALLOWED; // NaN is not
        ensure!(
            same,
            "{name}[{i}]: expected {a} to {ALLOWED:e}, found {b} in libtorch: not the same dream, so times do not compare"
        );
        worst = worst.max(difference);
    }
    Ok(worst)
}

/// A row of the table: who dreams, in how many threads, how many dreams each.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    /// `None` is libtorch.
    precision: Option<Precision>,
    threads: usize,
    count: usize,
}

impl Row {
    /// Ticks of each dream in a round, for about `budget` ticks of one thread's dreams.
    fn ticks(&self, budget: usize) -> usize {
        budget.div_ceil(self.count)
    }

    /// Ticks of one dream in a second, all of them added up, from microseconds of a round.
    fn rate(&self, budget: usize, round_us: f64) -> f64 {
        (self.ticks(budget) * self.count * self.threads) as f64 * 1e6 / round_us
    }
}

/// All threads' dreams, each thread `ticks` times.
fn dream(threads: &mut [DreamBatch<'_, '_>], ticks: usize) {
    let run = |dreams: &mut DreamBatch<'_, '_>| {
        for _ in 0..ticks {
            black_box(dreams.step());
        }
    };
    let Some((last, others)) = threads.split_last_mut() else { return };
    thread::scope(|scope| {
        for dreams in others {
            scope.spawn(move || run(dreams));
        }
        run(last);
    });
}

/// Measures.
///
/// # Errors
/// libtorch's head is not the runtime's.
pub fn tables(options: &Options, device: tch::Device) -> Result<Vec<Table>> {
    let (rounds, budget) = (options.common.effort(15, 1), options.common.effort(1024, 64));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<usize> = (0..).map(|i| 1 << i).take_while(|&n| n < cores).chain([cores]).collect();
    let files: Vec<_> = [Precision::F32, Precision::I8]
        .into_iter()
        .map(|precision| (precision, synthetic::in_precision(&Size::Humanoid.agent(), precision)))
        .collect();
    let load = |bytes| Model::load(bytes).map_err(|error| anyhow!("the shipped agent: {error}"));
    let models = files.iter().map(|(precision, file)| Ok((*precision, load(file)?))).collect::<Result<Vec<_>>>()?;
    let peer = Peer::new(HUMANOID, device)?;
    let worst = tch::no_grad(|| peer.check(&models[0].1))?;
    let latent = vec![0.25; peer.dims.latent_len()];
    let libtorch = format!("libtorch, {}", options.device.name());

    let columns =
        ["who dreams", "threads", "dreams a thread", "ticks / s, p50", "ticks / s, best", "to its one dream", "to libtorch"];
    let mut table = Table::new("Ticks of dreams", &columns);
    for count in [1, 7, 64, 256, 1024] {
        // First each one's single dream, which its rows are compared with; then libtorch's batch, which all are.
        let who: Vec<_> = models.iter().map(|(precision, _)| Some(*precision)).chain([None]).collect();
        let mut rows: Vec<Row> = who.iter().map(|&precision| Row { precision, threads: 1, count: 1 }).collect();
        rows.push(Row { precision: None, threads: 1, count });
        for (precision, _) in &models {
            rows.extend(threads.iter().map(|&threads| Row { precision: Some(*precision), threads, count }));
        }
        let mut memories: Vec<Vec<Vec<f32>>> = rows
            .iter()
            .map(|row| (0..row.threads).map(|_| vec![0.0; dreams_memory_len(&peer.dims, row.count)]).collect())
            .collect();
        let mut contenders = Vec::new();
        for (row, memories) in rows.iter().zip(&mut memories) {
            let ticks = row.ticks(budget);
            let Some((_, model)) = models.iter().find(|(precision, _)| row.precision == Some(*precision)) else {
                let (mut state, peer) = (peer.start(&latent, row.count), &peer);
                contenders.push(Contender::new("libtorch", 1, move || {
                    tch::no_grad(|| (0..ticks).for_each(|_| drop(peer.step(&mut state))));
                    // Waits for the device.
                    black_box(state.z.double_value(&[0, 0]));
                }));
                continue;
            };
            let options = DreamOptions { termination: Termination::Never, ..DreamOptions::default() };
            let mut dreams = memories
                .iter_mut()
                .map(|memory| {
                    let mut dreams = DreamBatch::new(*model, memory, row.count, options)?;
                    let begin = |index| dreams.start(index, index as u32, DreamStart { latent: &latent, state: None });
                    (0..row.count).try_for_each(begin)?;
                    Ok(dreams)
                })
                .collect::<Result<Vec<_>>>()?;
            contenders.push(Contender::new("runtime", 1, move || dream(&mut dreams, ticks)));
        }
        let times = interleave(&mut contenders, rounds);
        drop(contenders);
        let per_tick =
            |i: usize| crate::timing::Samples(times[i].0.iter().map(|&us| 1e6 / rows[i].rate(budget, us)).collect());
        let to = |i: usize, other: usize| Cell::Number(per_tick(other).ratio_to(&per_tick(i)), 2);
        for (i, row) in rows.iter().enumerate().skip(who.len()) {
            let base = who.iter().position(|&precision| precision == row.precision).unwrap_or(0);
            table.row([
                row.precision.map_or_else(|| libtorch.clone(), |precision| format!("runtime, {}", precision.name())).into(),
                row.threads.into(),
                row.count.into(),
                Cell::Number(row.rate(budget, times[i].p50()), 0),
                Cell::Number(row.rate(budget, times[i].min()), 0),
                to(i, base),
                to(i, who.len()),
            ]);
        }
    }
    table.note(format!(
        "Controller + LSTM + MDN head + sampling, the shipped agent, back end {}; {rounds} interleaved rounds for each batch size, wall time, \
         ratios of ticks a second, medians of a round's: to the same precision's one dream on one thread, and to libtorch's as many dreams on \
         {}. libtorch's head agreed with the runtime's to {worst:.0e}. {cores} cores.",
        models[0].1.backend().name(),
        if options.device == super::Device::Cpu { "one thread" } else { "the GPU" },
    ));
    Ok(vec![table])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The heads agree on the shipped agent; with another bias in one place they do not.
    #[test]
    fn libtorch_dreams_the_same_head_or_there_is_no_comparison() {
        tch::set_num_threads(1);
        let model = Model::load(HUMANOID).unwrap();
        let peer = Peer::new(HUMANOID, tch::Device::Cpu).unwrap();
        let worst = tch::no_grad(|| peer.check(&model)).unwrap();
        assert!(worst < ALLOWED, "{worst}");
        let bias = peer._variables.variables()["gmm_linear.bias"].shallow_clone();
        tch::no_grad(|| drop(bias.get(7).g_add_scalar_(0.01)));
        let error = tch::no_grad(|| peer.check(&model)).unwrap_err().to_string();
        assert!(error.starts_with("means[7]: ") && error.contains("not the same dream"), "{error}");
    }

    /// Threads share out nothing: each one's dreams are dreamt to their last tick, with the same bits.
    #[test]
    fn every_thread_dreams_all_of_its_ticks() {
        let model = Model::load(HUMANOID).unwrap();
        let latent = vec![0.25; model.dims().latent_len()];
        let mut memories = vec![vec![0.0; dreams_memory_len(model.dims(), 3)]; 4];
        let begin = |memory| {
            let options = DreamOptions { termination: Termination::Never, ..DreamOptions::default() };
            let mut dreams = DreamBatch::new(model, memory, 3, options).unwrap();
            (0..3).for_each(|i| dreams.start(i, i as u32, DreamStart { latent: &latent, state: None }).unwrap());
            dreams
        };
        let mut threads: Vec<_> = memories.iter_mut().map(|memory| begin(memory)).collect();
        dream(&mut threads, 5);
        for dreams in &threads {
            assert!((0..3).all(|i| dreams.tick(i) == 5 && dreams.digest(i) == threads[0].digest(i)));
        }
    }

    /// libtorch's dreams stay in the range of the runtime's: their samples have the same mean and spread after some ticks.
    #[test]
    fn libtorch_s_samples_are_distributed_as_the_runtime_s() {
        tch::set_num_threads(1);
        tch::manual_seed(1);
        const COUNT: usize = 4096;
        let model = Model::load(HUMANOID).unwrap();
        let peer = Peer::new(HUMANOID, tch::Device::Cpu).unwrap();
        let latent = vec![0.25; peer.dims.latent_len()];
        let mut state = peer.start(&latent, COUNT);
        let mut memory = vec![0.0; dreams_memory_len(&peer.dims, COUNT)];
        let options = DreamOptions { termination: Termination::Never, ..DreamOptions::default() };
        let mut dreams = DreamBatch::new(model, &mut memory, COUNT, options).unwrap();
        for index in 0..COUNT {
            dreams.start(index, index as u32, DreamStart { latent: &latent, state: None }).unwrap();
        }
        for _ in 0..3 {
            tch::no_grad(|| drop(peer.step(&mut state)));
            dreams.step();
        }
        let theirs = to_vec(&state.z).unwrap();
        let ours: Vec<f32> = (0..COUNT).flat_map(|index| dreams.latent(index).to_vec()).collect();
        let moments = |values: &[f32], i: usize| {
            let column: Vec<f64> = values.iter().skip(i).step_by(peer.dims.latent_len()).map(|&v| f64::from(v)).collect();
            let mean = column.iter().sum::<f64>() / COUNT as f64;
            (mean, (column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / COUNT as f64).sqrt())
        };
        for i in 0..peer.dims.latent_len() {
            let ((a, sa), (b, sb)) = (moments(&ours, i), moments(&theirs, i));
            // Six standard errors of a difference of two such means.
            assert!((a - b).abs() < 6.0 * (2.0 / COUNT as f64).sqrt() * sa.max(sb), "z[{i}]: mean {a} and {b}");
            assert!((sa / sb - 1.0).abs() < 0.15, "z[{i}]: standard deviation {sa} and {sb}");
        }
    }
}
