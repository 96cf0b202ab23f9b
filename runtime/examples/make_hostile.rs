//! Makes the files of `tests/hostile` anew, after the format has changed. What each answers now and `expected.txt` does not
//! say is printed, for a person to judge and to write down there.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/hostile/make.rs"]
mod make;
#[path = "../tests/common/pieces.rs"]
mod pieces;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            std::fs::remove_file(path)?;
        }
    }
    let expected = std::fs::read_to_string(folder.join("expected.txt"))?;
    let files = make::files();
    for (name, bytes) in &files {
        let name = format!("{name}.safetensors");
        std::fs::write(folder.join(&name), bytes)?;
        let line = format!("{name}: {}", make::answer(bytes));
        if !expected.lines().any(|known| known == line) {
            println!("{line}");
        }
    }
    eprintln!("{} files in {}; above, the answers that expected.txt does not have", files.len(), folder.display());
    Ok(())
}
