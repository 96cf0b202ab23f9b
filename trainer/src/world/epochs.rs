//! The epoch loop of V and M: the training pools, a batch at a time, then the held-out pools; the schedule, the log and the state after
//! each.

use crate::data::dataset::{Reading, pool_step};
use crate::data::prefetch::prefetch;
use crate::run::interrupt;
use crate::run::metrics::Clock;
use crate::world::optim::Optimizer;
use crate::world::resume::Training;
use crate::world::schedule::Schedule;
use crate::world::stage::EpochRecord;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use tch::Tensor;

/// A loss and its parts, by name, each a mean over the items of a batch. `loss` is what is minimised.
pub type Parts<const N: usize> = [(&'static str, Tensor); N];

/// Means of a loss and its parts over batches of unequal sizes.
#[derive(Debug, Default)]
pub struct Sums {
    sums: BTreeMap<&'static str, f64>,
    items: usize,
}

impl Sums {
    /// Adds a batch of `items`.
    pub fn add<const N: usize>(&mut self, items: usize, parts: &Parts<N>) {
        for (name, part) in parts {
            *self.sums.entry(name).or_default() += part.double_value(&[]) * items as f64;
        }
        self.items += items;
    }

    fn means(self) -> BTreeMap<&'static str, f64> {
        self.sums.into_iter().map(|(name, sum)| (name, sum / self.items as f64)).collect()
    }
}

/// The updates of one epoch.
pub struct Updates<'t> {
    optimizer: &'t mut Optimizer,
    schedule: &'t Schedule,
    /// Items since the training began, and in all of its epochs.
    done: usize,
    total: usize,
    sums: Sums,
}

impl Updates<'_> {
    /// One update with a batch of `items`, at the schedule's learning rate.
    ///
    /// # Errors
    /// [`interrupt::Interrupted`].
    pub fn take<const N: usize>(&mut self, items: usize, update: impl FnOnce(&mut Optimizer) -> Parts<N>) -> Result<()> {
        interrupt::check()?;
        self.optimizer.set_learning_rate(self.schedule.rate(self.done as f64 / self.total as f64));
        self.sums.add(items, &update(self.optimizer));
        self.done += items;
        Ok(())
    }
}

impl Training<'_> {
    /// Trains to the last epoch, or until the schedule says that it is enough. `pools` are those of `reading`, from the next epoch on;
    /// an epoch trains on `items`. `train` is given each training pool and the name of its draws, `validate` each held-out pool, without
    /// gradients; `after` is called after each epoch, with its number.
    ///
    /// # Errors
    /// A pool cannot be read, the loss is not finite, or a file cannot be written. [`interrupt::Interrupted`].
    pub fn run<P: Send>(
        &mut self,
        reading: &Reading,
        pools: impl Iterator<Item = Result<P>> + Send,
        items: usize,
        mut train: impl FnMut(&P, u64, &mut Updates<'_>) -> Result<()>,
        mut validate: impl FnMut(&P, &mut Sums),
        mut after: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let (data, stage, epochs) = (self.input.data, self.network.name(), self.epochs);
        std::thread::scope(|scope| {
            let mut pools = prefetch(scope, pools);
            let mut next = || pools.next().with_context(|| format!("{stage}: expected another pool, found none"))?;
            while let Some(epoch) = self.begin_epoch() {
                let clock = Clock::start();
                let mut updates = Updates {
                    optimizer: &mut self.optimizer,
                    schedule: &self.schedule,
                    done: (epoch - 1) * items,
                    total: items * epochs,
                    sums: Sums::default(),
                };
                for number in 0..reading.train.shuffled(data, epoch).len() {
                    train(&next()?, pool_step(epoch, Some(number)), &mut updates)?;
                }
                let trained = updates.sums.means();
                let mut held_out = Sums::default();
                for _ in reading.validation.in_order(data) {
                    interrupt::check()?;
                    let pool = next()?;
                    tch::no_grad(|| validate(&pool, &mut held_out));
                }
                self.finish_epoch(EpochRecord {
                    stage,
                    epoch,
                    epochs,
                    train: trained,
                    validation: held_out.means(),
                    best: false,
                    learning_rate: self.optimizer.learning_rate(),
                    seconds: clock.seconds(),
                    cpu_seconds: clock.cpu_seconds(),
                    items,
                    items_per_s: items as f64 / clock.seconds(),
                })?;
                after(epoch)?;
            }
            Ok(())
        })
    }
}
