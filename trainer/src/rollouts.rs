//! What an episode is, and how episodes are stored: one `.npz` each, in `RUN/rollouts/`.

/// One recorded episode of `T` steps. Step `t` took `actions[t]` in `observations[t]` and led to `observations[t + 1]`,
/// `rewards[t]`, `terminals[t]`, `truncations[t]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The seed it was reset with.
    pub seed: u64,
    /// `[T+1, O]`, the last one being where the last step led.
    pub observations: ndarray::Array2<f32>,
    /// `[T, A]`, in the environment's own units.
    pub actions: ndarray::Array2<f32>,
    /// `[T]`
    pub rewards: ndarray::Array1<f32>,
    /// `[T]`: true where the task ended (only ever the last).
    pub terminals: ndarray::Array1<bool>,
    /// `[T]`: true where the time limit cut it (only ever the last).
    pub truncations: ndarray::Array1<bool>,
}
