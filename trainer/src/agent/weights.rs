//! `import-weights`: V, M or C trained in PyTorch, made the run's own. The tensors are those of a state dict saved as safetensors; the
//! metadata that later stages need is put beside them. The weights stay as they are, unless an option says that the network's conventions
//! were others:
//!
//! | part | tensors | accepted too |
//! |---|---|---|
//! | M | `rnn.{weight,bias}_{ih,hh}_l0`, `gmm_linear.{weight,bias}` (TorchWM, ctallec: means, log-sigmas, logits, reward, terminal) | a cell's names, without `_l0`; a GRU's three gates |
//! | V | `encoder.{0,2,4}`, `decoder.{0,2,4}`, `.weight` and `.bias`, and `normalizer.{mean,inv_std}` | `encoder.fc1`, `fc2`, `fc_mu`, `fc_logvar` or `fc_logsigma`; no normaliser: raw observations |
//! | V of pictures | `encoder.conv1…`, `encoder.fc_mu`, `fc_logsigma`, `decoder.fc1`, `decoder.deconv1…`, `.weight` and `.bias` (ctallec) | `decoder.fc` (TorchWM), `fc_logvar`; no decoder |
//! | C | `fc.weight`, `fc.bias` | no bias |
//!
//! What wrappers add to a name, at its front or inside (`module.`, `_orig_mod.`, …), is taken off, and so is a prefix that all names share
//! (`model.`). What cannot run here is refused by name: a second layer of M, a file of `torch.save`. Sizes follow from shapes and from the
//! environment; what shapes do not say of convolutions, from `[vae.convolution]`.

mod convolutional;

use crate::agent::pack::{Ingredients, base_agent};
use crate::agent::sizes::{self, Known};
use crate::agent::v::{VaeLayers, VaeShape};
use crate::agent::{action, controller};
use crate::env::{ActionSpace, EnvSpec};
use crate::run::checkpoint::{Array, Checkpoint, meta};
use crate::run::config::Config;
use crate::run::folder::{RunDir, write_atomic};
use anyhow::{Context, Result, anyhow, bail, ensure};
use dreamstep_core::digest::Digest;
use dreamstep_core::dims::Dims;
use dreamstep_core::m::{MemoryCell, Mixture};
use dreamstep_core::names::{checkpoint as names, metadata};
use dreamstep_core::schema::Target;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a network means by an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Actions {
    /// In [-1, 1], whatever the environment's range: as M and C have them here.
    Unit,
    /// In the environment's own range: folded into the weights of M's inputs and C's outputs.
    Raw,
}

/// Order of M's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum InputOrder {
    /// As TorchWM and ctallec have it.
    #[default]
    #[value(name = "action,z")]
    ActionZ,
    /// The columns change places.
    #[value(name = "z,action")]
    ZAction,
}

/// What the head's second block is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sigma {
    /// log σ.
    #[default]
    Log,
    /// log σ²: halved.
    LogVariance,
}

/// The network's conventions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Has to be named where the environment's range is not [-1, 1], because then they differ. Of choices there is one form.
    pub actions: Option<Actions>,
    /// M's input.
    pub input: InputOrder,
    /// M's head.
    pub sigma: Sigma,
    /// Floor of log σ.
    pub log_sigma_min: f32,
    /// V's whitened observations are clipped to ± this.
    pub obs_clip: f32,
    /// Replace what the run has.
    pub force: bool,
}

impl Default for Options {
    /// Nothing that was trained is cut off.
    fn default() -> Self {
        Self {
            actions: None,
            input: InputOrder::default(),
            sigma: Sigma::default(),
            log_sigma_min: -20.0,
            obs_clip: 1e30,
            force: false,
        }
    }
}

/// What an import came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was written.
    pub written: Vec<PathBuf>,
    /// What was changed or assumed, one line each.
    pub notes: Vec<String>,
}

/// Puts what `path` holds of V, M and C into `run`, and the sizes into its `config.toml`. All parts, or none.
///
/// # Errors
/// One line: a tensor that is unknown, missing or of another shape; a part that cannot run here, that does not fit the environment or what
/// the run has, or that is there already (`options.force` replaces it).
pub fn import(config: &Config, run: &RunDir, path: &Path, options: &Options) -> Result<Report> {
    // A refusal makes no folder: one that is not there yet is locked when nothing can be refused any more.
    let lock = if run.root().exists() { Some(run.lock()?) } else { None };
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
    let file = Checkpoint::from_bytes(&path.display().to_string(), &bytes).map_err(|error| match other_format(&bytes) {
        Some((found, cure)) => {
            anyhow!("{}: expected a state dict as safetensors, found {found}; in Python: {cure}", path.display())
        }
        None => error,
    })?;
    if let Some(format) = file.metadata.get(metadata::FORMAT) {
        bail!(
            "{}: expected a state dict, found dreamstep's own {format}: {}",
            path.display(),
            if format == metadata::FORMAT_CHECKPOINT {
                "copy it into the run as it is"
            } else {
                "run it as it is, by --agent"
            }
        );
    }
    let source = format!("{:016x}", Digest::default().update_bytes(&bytes).value());
    let (mut notes, mut config) = (Vec::new(), config.clone());
    let mut tensors = named(file.tensors, path, &mut notes)?;
    let spec = sizes::spec(&mut config.env, &Known::new(&tensors, run)?, path, &mut notes)?;
    let mut import = Import { spec: &spec, options, origin: path, source, notes, config };
    let mut take = |prefixes: &[&str]| -> BTreeMap<String, Array> {
        tensors.extract_if(.., |name, _| prefixes.iter().any(|prefix| name.starts_with(prefix))).collect()
    };
    let (v, m, c) = (take(&["encoder.", "decoder.", "normalizer."]), take(&["rnn.", "gmm_linear."]), take(&["fc."]));
    if let Some((name, array)) = tensors.first_key_value() {
        bail!(
            "{}: tensor {name}: expected encoder.*, decoder.*, normalizer.* (V), rnn.*, gmm_linear.* (M) or fc.* (C), found shape {:?}",
            path.display(),
            array.shape
        );
    }
    let parts: [(PathBuf, Option<Checkpoint>); 3] = [
        (run.vae(), (!v.is_empty()).then(|| import.vae(v)).transpose()?),
        (run.mdnrnn(), (!m.is_empty()).then(|| import.mdnrnn(m)).transpose()?),
        (run.controller(), (!c.is_empty()).then(|| import.controller(c)).transpose()?),
    ];
    ensure!(parts.iter().any(|(_, part)| part.is_some()), "{}: expected tensors of V, M or C, found none", path.display());
    import.fits(run, &parts)?;
    import.config.validate()?;

    let _lock = match lock {
        Some(lock) => lock,
        None => run.lock()?,
    };
    let mut report = Report { written: Vec::new(), notes: import.notes };
    for (path, part) in parts {
        if let Some(part) = part {
            part.write(&path)?;
            report.written.push(path);
        }
    }
    write_atomic(&run.config(), import.config.to_toml().as_bytes())?;
    Ok(report)
}

/// What wrappers of a module or of a part of one put into names: of parallel training, `torch.compile`, sharding, checkpointed activations.
const WRAPPERS: [&str; 6] =
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_module"];

/// What tensors' names begin with.
const PARTS: [&str; 6] = ["encoder", "decoder", "normalizer", "rnn", "gmm_linear", "fc"];

/// What a file is that is no safetensors file, and how it becomes one.
fn other_format(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const TORCH: &str = "sd = torch.load(FILE, map_location=\"cpu\", weights_only=True); \
                         safetensors.torch.save_file(sd.get(\"state_dict\", sd), \"weights.safetensors\")";
    const NUMPY: &str = "safetensors.numpy.save_file({name: array, …}, \"weights.safetensors\")";
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    match bytes {
        [b'P', b'K', 3, 4, ..] if holds(b".npy") && !holds(b"data.pkl") => Some(("an .npz of numpy", NUMPY)),
        [b'P', b'K', 3, 4, ..] => Some(("a zip of PyTorch's torch.save", TORCH)),
        [0x80, 2..=5, ..] => Some(("a Python pickle, as torch.save wrote before version 1.6", TORCH)),
        [0x89, b'H', b'D', b'F', ..] => Some(("an HDF5 file, as Keras writes", NUMPY)),
        _ if bytes.get(257..262) == Some(b"ustar") => {
            Some(("a tar archive, as the first versions of torch.save wrote", TORCH))
        }
        _ => None,
    }
}

/// The `tensors` of the file at `origin` under our names.
fn named(tensors: BTreeMap<String, Array>, origin: &Path, notes: &mut Vec<String>) -> Result<BTreeMap<String, Array>> {
    const OF_PICTURES: [(&str, &str); 1] = [("decoder.fc.", "decoder.fc1.")];
    const OF_VECTORS: [(&str, &str); 5] = [
        ("encoder.fc1.", "encoder.0."),
        ("encoder.fc2.", "encoder.2."),
        ("decoder.fc1.", "decoder.0."),
        ("decoder.fc2.", "decoder.2."),
        ("decoder.fc3.", "decoder.4."),
    ];
    let bare = |name: &String| -> Vec<String> {
        name.split('.').filter(|part| !WRAPPERS.contains(part)).map(ToOwned::to_owned).collect()
    };
    let bare: Vec<Vec<String>> = tensors.keys().map(bare).collect();
    // A prefix that all names share is that of the module that held the network.
    let held = bare.first().and_then(|name| name.iter().position(|part| PARTS.contains(&part.as_str()))).unwrap_or(0);
    let held = if bare.iter().all(|name| name.starts_with(&bare[0][..held])) { held } else { 0 };
    if held > 0 {
        notes.push(format!("names: the prefix {}. taken off", bare[0][..held].join(".")));
    }
    let of_pictures = bare.iter().any(|name| is_convolutional(name.iter().map(String::as_str)));
    let aliases: &[(&str, &str)] = if of_pictures { &OF_PICTURES } else { &OF_VECTORS };
    let mut found = BTreeMap::new();
    for ((full, array), name) in tensors.into_iter().zip(&bare) {
        convolutional::check_axes(name, &array.shape).with_context(|| format!("{}: tensor {full}", origin.display()))?;
        let mut name = name[held..].join(".");
        if let Some((alias, ours)) = aliases.iter().find(|(alias, _)| name.starts_with(alias)) {
            name = name.replacen(alias, ours, 1);
        }
        if name.starts_with("rnn.") && !name.contains("_l") {
            name += "_l0";
        }
        ensure!(
            found.insert(name.clone(), array).is_none(),
            "{}: tensor {full}: expected {name} once, found it twice",
            origin.display()
        );
    }
    Ok(found)
}

/// Whether a tensor called so is a convolution's.
fn is_convolutional<'n>(name: impl Iterator<Item = &'n str>) -> bool {
    let layer = |part: &str| part.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let parts: Vec<String> = name.map(layer).collect();
    parts.windows(2).any(|pair| *pair == ["encoder", "conv"] || *pair == ["decoder", "deconv"])
}

struct Import<'a> {
    spec: &'a EnvSpec,
    options: &'a Options,
    origin: &'a Path,
    source: String,
    notes: Vec<String>,
    /// With the sizes that were found.
    config: Config,
}

impl Import<'_> {
    /// A checkpoint of `stage` that takes its tensors from `tensors`, every one of which must be used.
    fn part(&self, stage: &str, tensors: BTreeMap<String, Array>) -> Part {
        let mut checkpoint = Checkpoint { origin: self.origin.display().to_string(), ..Checkpoint::default() };
        checkpoint.set_meta(metadata::FORMAT, metadata::FORMAT_CHECKPOINT);
        checkpoint.set_meta(meta::VERSION, env!("CARGO_PKG_VERSION"));
        checkpoint.set_meta(meta::STAGE, stage);
        checkpoint.set_meta(metadata::ENV, &self.spec.id);
        let file = self.origin.file_name().unwrap_or_default().to_string_lossy();
        checkpoint.set_meta(meta::DATA, format!("imported from {file}, digest {}", self.source));
        Part { given: Checkpoint { tensors, ..checkpoint.clone() }, checkpoint }
    }

    /// Middle and half of the action range, where the network's actions have to be brought into [-1, 1]; of choices none.
    fn raw_actions(&self) -> Result<Option<(Vec<f32>, Vec<f32>)>> {
        if let ActionSpace::Discrete { choices } = self.spec.actions {
            ensure!(
                self.options.actions != Some(Actions::Raw),
                "{}: --actions raw: the actions of {} are {choices} choices, which M hears one-hot and C scores: expected none, or unit",
                self.origin.display(),
                self.spec.id
            );
            return Ok(None);
        }
        let (mid, half) = self.spec.actions.map();
        if mid.iter().all(|&m| m == 0.0) && half.iter().all(|&h| h == 1.0) {
            return Ok(None);
        }
        match self.options.actions {
            Some(Actions::Unit) => Ok(None),
            Some(Actions::Raw) => Ok(Some((mid, half))),
            None => bail!(
                "{}: expected --actions unit or --actions raw: the actions of {} span {} to {}, and the file does not say which it has",
                self.origin.display(),
                self.spec.id,
                self.spec.actions.range(0).0,
                self.spec.actions.range(0).1
            ),
        }
    }

    fn mdnrnn(&mut self, tensors: BTreeMap<String, Array>) -> Result<Checkpoint> {
        let mut part = self.part("mdnrnn", tensors);
        let [gates, inputs] = part.shape(names::RNN_WEIGHT_IH)?;
        let [rows, hidden] = part.shape(names::RNN_WEIGHT_HH)?;
        let name = self.origin.display();
        let cell = MemoryCell::ALL.into_iter().find(|cell| rows == cell.gates() * hidden && gates == rows);
        let cell = cell.with_context(|| {
            format!(
                "{name}: tensor {}: expected the {} rows of an LSTM of {hidden}, or the {} of a GRU, found {rows} (and {gates} in {})",
                names::RNN_WEIGHT_HH,
                MemoryCell::Lstm.gates() * hidden,
                MemoryCell::Gru.gates() * hidden,
                names::RNN_WEIGHT_IH
            )
        })?;
        let a = self.spec.actions.unit_len();
        ensure!(
            inputs > a,
            "{name}: tensor {}: expected the {a} actions of {} and a latent as inputs, found {inputs} inputs",
            names::RNN_WEIGHT_IH,
            self.spec.id
        );
        let z = inputs - a;
        let [outputs, head_inputs] = part.shape(names::GMM_WEIGHT)?;
        let k = outputs.saturating_sub(2) / (2 * z + 1);
        ensure!(
            k > 0 && outputs == (2 * z + 1) * k + 2 && head_inputs == hidden,
            "{name}: tensor {}: expected [(2·{z}+1)·K+2, {hidden}] for a latent of {z} ({inputs} inputs less the {a} actions of {}), found \
             [{outputs}, {head_inputs}]",
            names::GMM_WEIGHT,
            self.spec.id
        );
        let mut weight_ih = part.take(names::RNN_WEIGHT_IH, &[rows, inputs])?;
        let mut bias_ih = part.take(names::RNN_BIAS_IH, &[rows])?;
        if self.options.input == InputOrder::ZAction {
            weight_ih.chunks_exact_mut(inputs).for_each(|row| row.rotate_left(z));
            self.notes.push("M: columns of the input reordered to [action, z]".into());
        }
        if let Some((mid, half)) = self.raw_actions()? {
            for (row, bias) in weight_ih.chunks_exact_mut(inputs).zip(&mut bias_ih) {
                for (weight, (mid, half)) in row.iter_mut().zip(mid.iter().zip(&half)) {
                    *bias += *weight * mid;
                    *weight *= half;
                }
            }
            self.notes.push("M: the action range folded into the weights of its input".into());
        }
        let mut head = [part.take(names::GMM_WEIGHT, &[outputs, hidden])?, part.take(names::GMM_BIAS, &[outputs])?];
        if self.options.sigma == Sigma::LogVariance {
            for (block, width) in head.iter_mut().zip([hidden, 1]) {
                block[k * z * width..2 * k * z * width].iter_mut().for_each(|v| *v *= 0.5);
            }
            self.notes.push("M: log-variances halved to log-sigmas".into());
        }
        let [weight, bias] = head;
        part.put(names::RNN_WEIGHT_IH, &[rows, inputs], weight_ih);
        part.put(names::RNN_BIAS_IH, &[rows], bias_ih);
        part.keep(names::RNN_WEIGHT_HH, &[rows, hidden])?;
        part.keep(names::RNN_BIAS_HH, &[rows])?;
        part.put(names::GMM_WEIGHT, &[outputs, hidden], weight);
        part.put(names::GMM_BIAS, &[outputs], bias);

        action::say(&mut part.checkpoint, &self.spec.actions);
        for (key, value) in [
            (metadata::DIM_ACTION, a.to_string()),
            (metadata::DIM_LATENT, z.to_string()),
            (metadata::DIM_HIDDEN, hidden.to_string()),
            (metadata::DIM_MIXTURES, k.to_string()),
            (metadata::GMM_MIXTURE, "joint".into()),
            (metadata::GMM_TARGET, "z".into()),
            (metadata::GMM_SIGMA, "exp".into()),
            (metadata::GMM_LOG_SIGMA_MIN, self.options.log_sigma_min.to_string()),
            (metadata::REWARD_OFFSET, "0".into()),
            (metadata::RNN_INPUT, "action,z".into()),
            (meta::RNN_CELL, cell.name().into()),
            (meta::GATES, meta::gates(cell).into()),
        ] {
            part.checkpoint.set_meta(key, value);
        }
        (self.config.vae.latent, self.config.mdnrnn.hidden, self.config.mdnrnn.mixtures) = (z, hidden, k);
        (self.config.mdnrnn.cell, self.config.mdnrnn.mixture, self.config.mdnrnn.target) =
            (cell, Mixture::Joint, Target::Next);
        self.config.mdnrnn.log_sigma_min = decimal(self.options.log_sigma_min);
        part.finish()
    }

    fn vae(&mut self, mut tensors: BTreeMap<String, Array>) -> Result<Checkpoint> {
        if tensors.keys().any(|name| is_convolutional(name.split('.'))) {
            return self.convolutional_vae(tensors);
        }
        ensure!(
            self.spec.frame().is_none(),
            "{}: expected a V of convolutions (encoder.conv1 …) for {}, which shows pictures, found dense layers",
            self.origin.display(),
            self.spec.id
        );
        self.join_heads(&mut tensors)?;
        let o = self.spec.obs;
        if !tensors.contains_key(names::NORMALIZER_MEAN) && !tensors.contains_key(names::NORMALIZER_INV_STD) {
            let of = |value| Array { shape: vec![o], data: vec![value; o] };
            tensors.insert(names::NORMALIZER_MEAN.into(), of(0.0));
            tensors.insert(names::NORMALIZER_INV_STD.into(), of(1.0));
            self.notes.push("V: no normalizer.mean and normalizer.inv_std: it reads raw observations".into());
        }
        let mut part = self.part("vae", tensors);
        // The last of the encoder's layers has the two heads.
        let there = names::ENCODER_WEIGHT.iter().take_while(|name| part.given.tensors.contains_key(**name)).count();
        let last = there.max(2) - 1;
        let [_, inputs] = part.shape(names::ENCODER_WEIGHT[0])?;
        let widths = names::ENCODER_WEIGHT[..=last].iter().map(|name| Ok(part.shape(name)?[0]));
        let mut widths: Vec<usize> = widths.collect::<Result<_>>()?;
        let twice_z = widths.pop().unwrap_or_default();
        let name = self.origin.display();
        ensure!(
            inputs == o,
            "{name}: tensor {}: expected the {o} numbers that {} observes as inputs, found {inputs}",
            names::ENCODER_WEIGHT[0],
            self.spec.id
        );
        ensure!(
            twice_z.is_multiple_of(2) && twice_z > 0,
            "{name}: tensor {}: expected rows of means, then as many of log-variances, found {twice_z}",
            names::ENCODER_WEIGHT[last]
        );
        let z = twice_z / 2;
        let layers = |weights: [&'static str; 5], biases: [&'static str; 5], sizes: Vec<usize>| -> Vec<_> {
            let shapes: Vec<_> = sizes.windows(2).map(|ends| [ends[1], ends[0]]).collect();
            weights.into_iter().zip(biases).zip(shapes).map(|((weight, bias), shape)| (weight, bias, shape)).collect()
        };
        let sizes = [&[o][..], &widths, &[twice_z]].concat();
        let mut all = layers(names::ENCODER_WEIGHT, names::ENCODER_BIAS, sizes);
        if part.given.tensors.keys().any(|name| name.starts_with("decoder.")) {
            let backwards: Vec<usize> = [z].into_iter().chain(widths.iter().rev().copied()).chain([o]).collect();
            all.extend(layers(names::DECODER_WEIGHT, names::DECODER_BIAS, backwards));
        } else {
            self.notes.push("V: no decoder: it acts, and M cannot be trained on it here".into());
        }
        part.keep(names::NORMALIZER_MEAN, &[o])?;
        part.keep(names::NORMALIZER_INV_STD, &[o])?;
        for (weight, bias, shape) in all {
            part.keep(weight, &shape)?;
            part.keep(bias, &shape[..1])?;
        }
        let log_var_range = self.config.vae.log_var_range;
        VaeShape { obs: o, layers: VaeLayers::Mlp(widths.clone()), latent: z, log_var_range }.say(&mut part.checkpoint);
        part.checkpoint.set_meta(metadata::OBS_CLIP, self.options.obs_clip);
        (self.config.vae.latent, self.config.vae.hidden) = (z, widths);
        self.config.vae.obs_clip = decimal(self.options.obs_clip);
        part.finish()
    }

    /// Two heads of the encoder, mean and log-variance or log-sigma, as the one layer that it has here.
    fn join_heads(&mut self, tensors: &mut BTreeMap<String, Array>) -> Result<()> {
        // Behind the hidden layers, however many.
        let hidden = names::ENCODER_WEIGHT.iter().take_while(|name| tensors.contains_key(**name)).count();
        let last = hidden.min(names::ENCODER_WEIGHT.len() - 1);
        for (kind, ours) in [("weight", names::ENCODER_WEIGHT[last]), ("bias", names::ENCODER_BIAS[last])] {
            let Some(mut mean) = tensors.remove(&format!("encoder.fc_mu.{kind}")) else { continue };
            let log_var = tensors.remove(&format!("encoder.fc_logvar.{kind}"));
            let mut log_sigma = || tensors.remove(&format!("encoder.fc_logsigma.{kind}"));
            let second = match log_var {
                Some(log_var) => log_var,
                None => {
                    let mut twice = log_sigma().with_context(|| {
                        format!(
                            "{}: tensor encoder.fc_logvar.{kind}: expected beside encoder.fc_mu.{kind}, found none",
                            self.origin.display()
                        )
                    })?;
                    twice.data.iter_mut().for_each(|v| *v *= 2.0);
                    self.notes.push(format!("V: encoder.fc_logsigma.{kind} doubled to a log-variance"));
                    twice
                }
            };
            ensure!(
                second.shape == mean.shape,
                "{}: encoder.fc_mu.{kind} and its log-variance: expected one shape, found {:?} and {:?}",
                self.origin.display(),
                mean.shape,
                second.shape
            );
            mean.data.extend(second.data);
            mean.shape[0] *= 2;
            tensors.insert(ours.into(), mean);
        }
        Ok(())
    }

    fn controller(&mut self, mut tensors: BTreeMap<String, Array>) -> Result<Checkpoint> {
        let a = self.spec.actions.unit_len();
        if !tensors.contains_key(names::FC_BIAS) {
            tensors.insert(names::FC_BIAS.into(), Array { shape: vec![a], data: vec![0.0; a] });
            self.notes.push("C: no bias: zeros".into());
        }
        let mut part = self.part("controller", tensors);
        let [_, inputs] = part.shape(names::FC_WEIGHT)?;
        let (mut weight, mut bias) = (part.take(names::FC_WEIGHT, &[a, inputs])?, part.take(names::FC_BIAS, &[a])?);
        if let Some((mid, half)) = self.raw_actions()? {
            for (i, row) in weight.chunks_exact_mut(inputs).enumerate() {
                row.iter_mut().for_each(|v| *v /= half[i]);
                bias[i] = (bias[i] - mid[i]) / half[i];
            }
            self.notes.push("C: the action range folded into the weights".into());
        }
        part.put(names::FC_WEIGHT, &[a, inputs], weight);
        part.put(names::FC_BIAS, &[a], bias);
        part.checkpoint.set_input(self.config.controller.input);
        part.finish()
    }

    /// That nothing is replaced unasked, and that all parts that the run then has fit each other.
    fn fits(&self, run: &RunDir, parts: &[(PathBuf, Option<Checkpoint>); 3]) -> Result<()> {
        let mut all = Vec::new();
        for (path, part) in parts {
            ensure!(
                part.is_none() || self.options.force || !path.exists(),
                "{}: expected no such file, found one; --force replaces it",
                path.display()
            );
            all.push(match part {
                Some(part) => Some(part.clone()),
                None if path.exists() => Some(Checkpoint::read(path)?),
                None => None,
            });
        }
        for network in ["vae", "mdnrnn"] {
            let path = run.training(network);
            ensure!(!path.exists(), "{}: expected no training under way, found one; finish or remove it", path.display());
        }
        let mut all = all.into_iter();
        if let (Some(Some(vae)), Some(Some(mdnrnn)), controller) = (all.next(), all.next(), all.next().flatten()) {
            let (latent, hidden) = (self.config.vae.latent, self.config.mdnrnn.hidden);
            let ingredients = Ingredients { vae, mdnrnn, controller: None };
            let config = Config { env: sizes::complete(&self.config.env), ..self.config.clone() };
            base_agent(&ingredients, &config)?;
            if let Some(controller) = controller {
                let hidden: usize = ingredients.mdnrnn.meta(metadata::DIM_HIDDEN).unwrap_or(hidden);
                let latent: usize = ingredients.mdnrnn.meta(metadata::DIM_LATENT).unwrap_or(latent);
                let c = controller::said(&controller)?;
                let dims =
                    Dims::vector(self.spec.obs, self.spec.actions.unit_len(), &[1], latent, hidden, 1).with_controller(c);
                controller::read(&controller, &dims).with_context(|| {
                    format!(
                        "a controller that reads {} has {} inputs here (--set controller.input=… says what it reads)",
                        c.input.name(),
                        dims.controller_inputs()
                    )
                })?;
            }
        }
        Ok(())
    }
}

/// The number that a user wrote for `value`: 1e30, not the binary32 above it, which is out of the key's range.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// A checkpoint in the making.
struct Part {
    given: Checkpoint,
    checkpoint: Checkpoint,
}

impl Part {
    /// The two sizes of a weight.
    fn shape(&self, name: &str) -> Result<[usize; 2]> {
        let array = self.given.tensors.get(name);
        let array =
            array.with_context(|| format!("{}: tensor {name}: expected, found no such tensor", self.given.origin))?;
        let shape = array.shape[..].try_into();
        shape
            .with_context(|| format!("{}: tensor {name}: expected 2 axes, found shape {:?}", self.given.origin, array.shape))
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.given.tensor(name, shape)?;
        Ok(self.given.tensors.remove(name).map(|array| array.data).unwrap_or_default())
    }

    /// Takes a tensor over as it is.
    fn keep(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let data = self.take(name, shape)?;
        self.put(name, shape, data);
        Ok(())
    }

    fn put(&mut self, name: &str, shape: &[usize], data: Vec<f32>) {
        self.checkpoint.insert(name, shape, data);
    }

    /// A tensor that is left over is an error: it would be lost.
    fn finish(self) -> Result<Checkpoint> {
        if let Some((name, array)) = self.given.tensors.first_key_value() {
            bail!("{}: tensor {name}: expected no such tensor, found shape {:?}", self.given.origin, array.shape);
        }
        Ok(self.checkpoint)
    }
}
