//! MuJoCo's own log reaches neither the user's folder nor the terminal: HalfCheetah's model has an attribute that it warns of.

use std::process::Command;

#[test]
fn nothing_is_left_behind_and_nothing_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let (here, run) = (folder.path().join("here"), folder.path().join("run"));
    std::fs::create_dir(&here).unwrap();
    for env in ["HalfCheetah-v5", "Ant-v5", "Pusher-v5"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dreamstep"));
        command.current_dir(&here).arg("collect").arg("--run").arg(run.join(env));
        let output = command.args(["--set", &format!("env={env}"), "--set", "collect.steps=10"]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{env}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0, "{env}");
    }
}
