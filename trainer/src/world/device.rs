//! Where libtorch computes: on the processor, or on an NVIDIA GPU.
//!
//! One binary does both. It is linked against the half of libtorch that every build has; the CUDA half is loaded at run time, where it is
//! asked for. A binary without the feature `torch` has neither, and refuses what needs it.

#[cfg(feature = "torch")]
use anyhow::{Context, ensure};
use anyhow::{Result, anyhow, bail};

/// A device of libtorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// The NVIDIA GPU of this number, from 0.
    Cuda(usize),
}

impl std::str::FromStr for Device {
    type Err = anyhow::Error;

    /// `cpu`, `cuda` (the first GPU) or `cuda:N`.
    fn from_str(name: &str) -> Result<Self> {
        match (name, name.strip_prefix("cuda:").map(str::parse)) {
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(Ok(number))) => Ok(Self::Cuda(number)),
            _ => bail!("expected cpu, cuda or cuda:N, found {name}"),
        }
    }
}

/// That this binary has libtorch, which `what` needs.
///
/// # Errors
/// [`without_torch`]'s, where it has not.
pub fn needs_torch(what: &str) -> Result<()> {
    if cfg!(feature = "torch") { Ok(()) } else { Err(without_torch(what)) }
}

/// One line: this binary was built without libtorch, which `what` needs; and which build has it.
#[must_use]
pub fn without_torch(what: &str) -> anyhow::Error {
    anyhow!(
        "{what}: expected a binary with libtorch, found one built without it; `make setup` without SETUP=light, then `cargo build --release \
         -p dreamstep` makes one"
    )
}

/// Makes `device` usable. Must come before libtorch is asked for anything else: it looks for GPUs once.
///
/// # Errors
/// One line: there is no libtorch, it has no CUDA, or there is no such GPU.
pub fn prepare(device: Device) -> Result<()> {
    let Device::Cuda(number) = device else { return Ok(()) };
    needs_torch(&format!("--device cuda:{number}"))?;
    #[cfg(feature = "torch")]
    cuda(number)?;
    Ok(())
}

#[cfg(feature = "torch")]
impl From<Device> for tch::Device {
    fn from(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda(number) => Self::Cuda(number),
        }
    }
}

#[cfg(feature = "torch")]
fn cuda(number: usize) -> Result<()> {
    load_cuda().with_context(|| {
        format!(
            "--device cuda:{number}: expected a libtorch with CUDA (set LIBTORCH to one, and LD_LIBRARY_PATH to its lib)"
        )
    })?;
    let found = tch::Cuda::device_count();
    ensure!(
        tch::Cuda::is_available() && (number as i64) < found,
        "--device cuda:{number}: expected a GPU of that number, found {found} that libtorch can use"
    );
    Ok(())
}

/// Brings in the half of libtorch that the linker leaves out, since nothing refers to it by name.
#[cfg(feature = "torch")]
fn load_cuda() -> Result<()> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: its initialisers register themselves with libtorch_cpu of the same build, which is loaded already, and nothing else; it
    // stays loaded to the end of the process.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }?;
    std::mem::forget(library);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let parse = |name: &str| name.parse::<Device>();
        assert_eq!(parse("cpu").unwrap(), Device::Cpu);
        assert_eq!(parse("cuda").unwrap(), Device::Cuda(0));
        assert_eq!(parse("cuda:3").unwrap(), Device::Cuda(3));
        for name in ["", "gpu", "cuda:", "cuda:x", "cuda3", "cuda:-1"] {
            assert!(parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_one_line() {
        let Err(error) = prepare(Device::Cuda(99)) else { panic!("expected no machine to have a hundred GPUs") };
        let error = format!("{error:#}");
        assert!(error.starts_with("--device cuda:99: ") && !error.contains('\n'), "{error}");
    }
}
