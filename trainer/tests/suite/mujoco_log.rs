//! MuJoCo's own log reaches neither the user's folder nor the terminal: HalfCheetah's model has an attribute that it warns of.

use crate::common::succeed_silently;

#[test]
fn nothing_is_left_behind_and_nothing_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let (here, run) = (folder.path().join("here"), folder.path().join("run"));
    std::fs::create_dir(&here).unwrap();
    for env in ["HalfCheetah-v5", "Ant-v5", "Pusher-v5"] {
        succeed_silently(
            &here,
            &format!("collect --run {} --set env={env} --set collect.steps=10", run.join(env).display()),
        );
        assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0, "{env}");
    }
}
