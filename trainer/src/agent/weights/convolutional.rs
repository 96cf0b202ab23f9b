//! A convolutional V of TorchWM's, ctallec's or anyone's who names it so. The state dict says how many maps each layer makes and how large
//! its kernel is; strides, paddings and the decoder's first map it does not say: these are as `[vae.convolution]` has them, whose default is
//! the network of both.

use super::{Import, is_convolutional};
use crate::agent::convolution::{Chain, HEADS};
use crate::agent::v::{VaeLayers, VaeShape};
use crate::run::checkpoint::{Array, Checkpoint};
use crate::run::config::ConvolutionConfig;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;

impl Import<'_> {
    pub(super) fn convolutional_vae(&mut self, mut tensors: BTreeMap<String, Array>) -> Result<Checkpoint> {
        let name = self.origin.display().to_string();
        let expected = || {
            format!(
                "{name}: expected an environment that shows pictures, found {} with {} numbers",
                self.spec.id, self.spec.obs
            )
        };
        let frame = self.spec.frame().with_context(expected)?;
        self.halve_log_variances(&mut tensors);
        let ConvolutionConfig { encoder, decoder } = &self.config.vae.convolution;
        let has_decoder = tensors.keys().any(|name| name.starts_with("decoder."));
        let chain = if has_decoder { Chain::new(frame, encoder, decoder) } else { Chain::parse(frame, encoder, None) };
        let chain = chain.with_context(|| format!("{name}: vae.convolution"))?;
        if !has_decoder {
            self.notes.push("V: no decoder: it acts, and M cannot be trained on it here".into());
        }
        let mut part = self.part("vae", tensors);
        let [latent, _] = part.shape("encoder.fc_mu.weight")?;
        for (name, shape) in chain.layers(latent) {
            let outputs = if name.starts_with("decoder.deconv") { shape[1] } else { shape[0] };
            let of_config = || format!("vae.convolution says {encoder:?} and {decoder:?} of frames of {frame:?}");
            part.keep(&format!("{name}.weight"), &shape).with_context(of_config)?;
            part.keep(&format!("{name}.bias"), &[outputs]).with_context(of_config)?;
        }
        let log_var_range = self.config.vae.log_var_range;
        let shape = VaeShape { obs: self.spec.obs, layers: VaeLayers::Convolutional(chain), latent, log_var_range };
        shape.say(&mut part.checkpoint);
        self.config.vae.latent = latent;
        part.finish()
    }

    /// A head of log-variances is one of log-sigmas twice as large.
    fn halve_log_variances(&mut self, tensors: &mut BTreeMap<String, Array>) {
        for kind in ["weight", "bias"] {
            if let Some(mut array) = tensors.remove(&format!("encoder.fc_logvar.{kind}")) {
                array.data.iter_mut().for_each(|v| *v /= 2.0);
                self.notes.push(format!("V: encoder.fc_logvar.{kind} halved to a log-sigma"));
                tensors.insert(format!("{}.{kind}", HEADS[1]), array);
            }
        }
    }
}

/// That tensor `name` of this `shape` may be one: kernels have two axes of their own.
pub(super) fn check_axes(name: &[String], shape: &[usize]) -> Result<()> {
    let kernel = is_convolutional(name.iter().map(String::as_str));
    ensure!(
        shape.len() <= 2 || kernel && shape.len() == 4,
        "expected a dense layer, or the kernels of encoder.conv1, decoder.deconv1 …, found shape {shape:?}"
    );
    Ok(())
}
