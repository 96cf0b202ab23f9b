//! Where does libtorch compute: on the processor, or on an NVIDIA GPU? One binary does both. It is linked against the half of libtorch
//! that every build has; the CUDA half is asked for at run time, where somebody wants it.

use anyhow::{Context, Result, bail, ensure};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// A device's name: `cpu`, `cuda` (the first GPU) or `cuda:N`.
///
/// # Errors
/// It is none of these.
pub fn parse(name: &str) -> Result<tch::Device> {
    match (name, name.strip_prefix("cuda:").map(str::parse)) {
        ("cpu", _) => Ok(tch::Device::Cpu),
        ("cuda", _) => Ok(tch::Device::Cuda(0)),
        (_, Some(Ok(number))) => Ok(tch::Device::Cuda(number)),
        _ => bail!("expected cpu, cuda or cuda:N, found {name}"),
    }
}

/// Makes `device` usable. Must come before libtorch is asked for anything else: it looks for GPUs once.
///
/// # Errors
/// One line: this libtorch has no CUDA, or there is no such GPU.
pub fn prepare(device: tch::Device) -> Result<()> {
    let tch::Device::Cuda(number) = device else { return Ok(()) };
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
fn load_cuda() -> Result<()> {
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
        assert_eq!(parse("cpu").unwrap(), tch::Device::Cpu);
        assert_eq!(parse("cuda").unwrap(), tch::Device::Cuda(0));
        assert_eq!(parse("cuda:3").unwrap(), tch::Device::Cuda(3));
        for name in ["", "gpu", "cuda:", "cuda:x", "cuda3"] {
            assert!(parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_one_line() {
        let Err(error) = prepare(tch::Device::Cuda(99)) else { panic!("nobody has a hundred GPUs") };
        let error = format!("{error:#}");
        assert!(error.starts_with("--device cuda:99: expected a") && !error.contains('\n'), "{error}");
    }
}
