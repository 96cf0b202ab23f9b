//! What does ONNX Runtime take for the step? The graph of [`super::onnx`] in a session with every optimisation and one thread, inputs
//! and outputs bound once, the recurrent state going back and forth between two pairs of tensors, so that nothing is copied but the
//! observation and the action.

use super::Step;
use super::onnx::{self, Cell, INPUTS, Numbers, OUTPUTS};
use super::weights::Weights;
use anyhow::{Context, Result, anyhow};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{IoBinding, Session};
use ort::value::Tensor;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where the library is: named by `ORT_DYLIB_PATH`, or where `scripts/peers.sh` installed it.
///
/// # Errors
/// There is none; the line names the command that installs it.
pub fn library() -> Result<PathBuf> {
    find(std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from), &Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

fn find(named: Option<PathBuf>, root: &Path) -> Result<PathBuf> {
    if let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) {
        let found = path.is_file().then(|| path.canonicalize().unwrap_or_else(|_| path.clone()));
        return found
            .ok_or_else(|| anyhow!("ORT_DYLIB_PATH={}: expected ONNX Runtime's library, found no file", path.display()));
    }
    let folder = Path::new("third_party/onnxruntime/onnxruntime/capi");
    let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_library =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so."));
    entries.filter(is_library).max().ok_or_else(|| {
        anyhow!(
            "ONNX Runtime: no libonnxruntime.so.* in {}: `scripts/peers.sh` installs it, or name yours: ORT_DYLIB_PATH=…",
            folder.display()
        )
    })
}

/// The process's one environment.
pub(super) fn environment() -> Result<&'static Environment> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let environment = ENVIRONMENT.get_or_init(|| {
        let path = library().map_err(|error| error.to_string())?;
        let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
        builder.with_telemetry(false).build().map_err(|error| error.to_string())
    });
    environment.as_ref().map_err(|error| anyhow!("{error}"))
}

/// The library's version, from its file's name: the interface tells a commit, and in Python's wheels not that.
///
/// # Errors
/// As for [`library`], or the library does not load.
pub fn version() -> Result<String> {
    environment()?;
    let path = library()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(name.split_once(".so.").map_or("of unknown version", |(_, version)| version).to_string())
}

/// The agent in a session.
pub struct OnnxRuntime {
    session: Session,
    observation: Tensor<f32>,
    action: Tensor<f32>,
    state: [[Tensor<f32>; 2]; 2], // (h, c), twice
    bindings: [IoBinding; 2],     // from the first pair to the second, and back
    turn: usize,
}

impl OnnxRuntime {
    /// At the start of an episode.
    ///
    /// # Errors
    /// No library, or it refuses the model.
    pub fn new(weights: &Weights, cell: Cell, numbers: Numbers) -> Result<Self> {
        let model = onnx::model(weights, cell, numbers);
        let session = session(&model).context("ONNX Runtime")?;
        let allocator = Allocator::default();
        let dims = &weights.dims;
        let shape = onnx::state_shape(cell, dims.hidden_len());
        let tensor = |shape: &[usize]| -> Result<Tensor<f32>> {
            let mut tensor = Tensor::<f32>::new(&allocator, shape)?;
            tensor.extract_tensor_mut().1.fill(0.0);
            Ok(tensor)
        };
        let observation = tensor(&[1, dims.obs_len()])?;
        let mut action = tensor(&[1, dims.action_len()])?;
        let mut state = [[tensor(&shape)?, tensor(&shape)?], [tensor(&shape)?, tensor(&shape)?]];
        let mut bindings = [session.create_binding()?, session.create_binding()?];
        for (turn, binding) in bindings.iter_mut().enumerate() {
            binding.bind_input(INPUTS[0], &observation)?;
            binding.bind_output(OUTPUTS[0], &mut action)?;
            for part in 0..2 {
                binding.bind_input(INPUTS[1 + part], &state[turn][part])?;
                binding.bind_output(OUTPUTS[1 + part], &mut state[1 - turn][part])?;
            }
        }
        Ok(Self { session, observation, action, state, bindings, turn: 0 })
    }
}

pub(super) fn session(model: &[u8]) -> Result<Session> {
    // A builder's error carries the builder along, which no other thread may have.
    let plain = |error: ort::Error<_>| anyhow!("{error}");
    let builder = Session::builder(environment()?)?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(plain)?;
    let builder = builder.with_intra_threads(1).map_err(plain)?.with_inter_threads(1).map_err(plain)?;
    let mut builder = builder.with_parallel_execution(false).map_err(plain)?;
    Ok(builder.commit_from_memory(model)?)
}

/// Runs a session on what is bound.
pub(super) fn run(session: &mut Session, binding: &IoBinding) -> Result<()> {
    // SAFETY: session and binding are live objects of this library, made for each other, and `&mut` keeps other threads away; null
    // stands for default options. Not by `run_binding`, which asks the library for every output anew and wraps it, when here they are
    // bound and at hand.
    unsafe {
        let status = (ort::api().RunWithBinding)(session.ptr().cast_mut(), std::ptr::null(), binding.ptr());
        ort::Error::result_from_status(status).context("ONNX Runtime")
    }
}

impl Step for OnnxRuntime {
    fn reset(&mut self) -> Result<()> {
        for tensor in self.state.iter_mut().flatten() {
            tensor.extract_tensor_mut().1.fill(0.0);
        }
        Ok(())
    }

    fn step(&mut self, observation: &[f32], action: &mut [f32]) -> Result<()> {
        self.observation.extract_tensor_mut().1.copy_from_slice(observation);
        let binding = &self.bindings[self.turn];
        run(&mut self.session, binding)?;
        self.turn = 1 - self.turn;
        action.copy_from_slice(self.action.extract_tensor().1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_one_line_with_the_way_out() {
        let error = find(None, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("scripts/peers.sh") && !error.contains('\n'), "{error}");
        let error = find(Some("/nowhere/libonnxruntime.so".into()), Path::new("/nowhere")).unwrap_err().to_string();
        assert!(
            error.starts_with("ORT_DYLIB_PATH=/nowhere/libonnxruntime.so: expected") && !error.contains('\n'),
            "{error}"
        );
    }
}
