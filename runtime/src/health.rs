//! The health of a running agent: what a world model can tell a robot, and a plain policy cannot.
//!
//! Counted once for each tick, in [`crate::Agent::advance`], off the path that the actuators wait for: observations at the normaliser's clip, and
//! actions at an end of their range. On request, [`crate::Agent::surprise`]: how unlikely M held the latent that was just seen.

/// Counts and statistics since the agent was made or reset, or took over a saved state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// Ticks that were counted.
    pub ticks: u64,
    /// Observed values that the normaliser clipped, of `ticks·O`. Training data have next to none: many say that a sensor is off, or
    /// in another unit. None of a tick that was taken over between its `act` and its `advance`: a state does not hold what was observed.
    pub clipped: u64,
    /// Action values at an end of their range, of `ticks·A`; 0 of a discrete action.
    pub saturated: u64,
    /// Ticks whose surprise was asked for.
    pub surprises: u64,
    /// The newest surprise, in nats per dimension of the latent vector; 0 before the first.
    pub surprise: f32,
    /// Mean of all, in nats per dimension; 0 before the first.
    pub surprise_mean: f32,
    /// Greatest of all, in nats per dimension; −∞ before the first.
    pub surprise_max: f32,
}

impl Health {
    pub(crate) const NEW: Self = Self {
        ticks: 0,
        clipped: 0,
        saturated: 0,
        surprises: 0,
        surprise: 0.0,
        surprise_mean: 0.0,
        surprise_max: f32::NEG_INFINITY,
    };

    /// Takes in a tick's counts.
    pub(crate) fn count(&mut self, clipped: u32, saturated: u32) {
        self.ticks = self.ticks.wrapping_add(1);
        self.clipped = self.clipped.wrapping_add(clipped.into());
        self.saturated = self.saturated.wrapping_add(saturated.into());
    }

    /// Takes in a surprise.
    pub(crate) fn take(&mut self, surprise: f32) {
        self.surprises = self.surprises.wrapping_add(1);
        self.surprise = surprise;
        // The running mean: no sum that grows until it loses the newest.
        self.surprise_mean += (surprise - self.surprise_mean) / self.surprises as f32;
        if surprise > self.surprise_max {
            self.surprise_max = surprise;
        }
    }
}
