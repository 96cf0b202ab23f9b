//! The world model: V and M as libtorch networks (through `tch`), and their training. Without the feature `torch` what is left is the
//! state of a training, which other commands ask about.

#[cfg(feature = "torch")]
pub mod convolutions;
pub mod device;
pub mod ensemble;
#[cfg(feature = "torch")]
pub mod epochs;
#[cfg(feature = "torch")]
pub mod latents;
#[cfg(feature = "torch")]
pub mod mdnrnn;
#[cfg(feature = "torch")]
pub mod nets;
#[cfg(feature = "torch")]
pub mod optim;
pub mod resume;
#[cfg(feature = "torch")]
pub mod samples;
#[cfg(feature = "torch")]
pub mod schedule;
pub mod stage;
#[cfg(feature = "torch")]
pub mod train_mdnrnn;
#[cfg(feature = "torch")]
pub mod train_vae;
#[cfg(feature = "torch")]
pub mod trained;
#[cfg(feature = "torch")]
pub mod vae;

use anyhow::Result;
use resume::Network;
use stage::StageInput;

/// Trains `network` and writes its checkpoint: [`train_vae::train_vae`] or [`train_mdnrnn::train_mdnrnn`]. Returns what it came to, one line.
///
/// # Errors
/// As theirs; or this binary was built without libtorch.
#[cfg(feature = "torch")]
pub fn train(network: Network, input: &StageInput<'_>) -> Result<String> {
    Ok(match network {
        Network::Vae => train_vae::train_vae(input)?.to_string(),
        Network::Mdnrnn => train_mdnrnn::train_mdnrnn(input)?.to_string(),
    })
}

/// Refuses: this binary was built without libtorch.
///
/// # Errors
/// Always.
#[cfg(not(feature = "torch"))]
pub fn train(network: Network, _: &StageInput<'_>) -> Result<String> {
    Err(device::without_torch(&format!("train --stage {}", network.name())))
}
