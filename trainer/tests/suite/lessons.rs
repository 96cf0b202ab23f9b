//! Lessons that were killed are gone on with, and end in the same bytes. Whole processes, on CartPole.

use crate::common::{changes, command, refused_naming, results, succeed};

const SETTINGS: &str = "--set env=CartPole-v1 --set collect.steps=500 --set vae.latent=4 --set vae.hidden=[16,16] --set vae.epochs=1 \
                        --set mdnrnn.epochs=1 --set mdnrnn.hidden=16 --set controller.input=z --set controller.steps=1 --set controller.directions=5 \
                        --set threads=2 --set controller.lessons=3 --set controller.lesson_episodes=4";

#[test]
fn lessons_that_were_killed_end_as_lessons_that_were_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeed(at, &format!("collect --run r {SETTINGS}"));
    succeed(at, "train --run r");
    succeed(at, "pack --run r --episodes 0");
    std::fs::rename(at.join("r/agent.safetensors"), at.join("teacher.safetensors")).unwrap();

    // One that learns by gradient descent, whose optimiser remembers; and a linear one.
    for hidden in ["[6]", "[]"] {
        let train = format!(
            "train --run r --stage controller --teacher teacher.safetensors --set controller.input=z+h --set controller.hidden={hidden}"
        );
        succeed(at, &format!("{train} --force"));
        let whole = results(&at.join("r"));
        assert!(!at.join("r/lessons").exists());

        let killed = |fault: String, args: &str| {
            let output = command(at, args).env("DREAMSTEP_FAULT", fault).output().unwrap();
            !output.status.success()
        };
        // The first lesson is written; what other settings are to learn is another thing.
        assert!(killed("write.done:3".into(), &format!("{train} --force")));
        let kept = std::fs::read_dir(at.join("r/lessons")).unwrap().count();
        assert!((1..=3).contains(&kept), "{kept} lessons");
        // A refusal takes the dead one's lock away.
        std::fs::remove_file(at.join("r/.lock")).unwrap();
        refused_naming(
            at,
            &format!("{train} --set controller.lesson_episodes=5"),
            &["r/lessons/0.safetensors", "another's", "--force"],
        );
        let mut kills = 0;
        for n in 1.. {
            if !killed(format!("{}:{n}", ["write.half", "write.rename", "write.done"][kills % 3]), &train) {
                break;
            }
            kills += 1;
        }
        assert!(kills > 1, "{kills} kills");
        assert_eq!(changes(&whole, &results(&at.join("r"))), Vec::<String>::new());
        assert!(!at.join("r/lessons").exists());
    }
}
