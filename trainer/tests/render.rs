//! `dreamstep render`, as a user runs it. A tiny run of CartPole-v1, whole: its pictures need no OpenGL, so this runs
//! anywhere. The same with parts missing, each a line that says what makes them; and on a machine without EGL, where nothing else may
//! suffer.

mod common;

use common::{command, refused_command, set, succeed_silently as succeed, text};
use dreamstep_fixtures::skip;
use std::fs;
use std::path::Path;
use std::process::Output;

const SETTINGS: [&str; 9] = [
    "env=CartPole-v1",
    "collect.steps=600",
    "vae.epochs=2",
    "vae.latent=2",
    "vae.hidden=[16,16]",
    "mdnrnn.epochs=2",
    "mdnrnn.hidden=16",
    "controller.steps=400",
    "controller.directions=2",
];

/// Width, height and frames of a GIF.
fn gif(path: &Path) -> (u16, u16, usize) {
    let mut reader = gif::Decoder::new(fs::File::open(path).unwrap()).unwrap();
    let mut frames = 0;
    while reader.read_next_frame().unwrap().is_some() {
        frames += 1;
    }
    (reader.width(), reader.height(), frames)
}

#[test]
fn a_whole_run_is_filmed_and_parts_of_it_as_far_as_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(folder, &format!("collect --run r{}", set(&SETTINGS)));
    // Nothing is trained: who acts blindly can be watched, what was not asked for in vain is drawn.
    let said = succeed(folder, "render --run r --policy random --size 64x48 --out early.gif --steps 4");
    assert!(said.contains("latent and dream left out") && said.contains("train --stage vae"), "{said}");
    assert_eq!(gif(&folder.join("early.gif")), (128, 48, 3));
    refused_command(
        &mut command(folder, "render --run r --out x.gif"),
        folder,
        &["agent.safetensors", "dreamstep pack", "--policy random"],
    );
    let latent = "render --run r --policy zero --panels latent --out x.gif";
    refused_command(&mut command(folder, latent), folder, &["nothing to draw", "train --stage vae"]);

    succeed(folder, "train --run r --stage vae");
    let said = succeed(folder, "render --run r --policy zero --size 64x48 --out half.gif --steps 4");
    assert!(said.contains("dream left out") && said.contains("train --stage mdnrnn"), "{said}");
    assert_eq!(gif(&folder.join("half.gif")), (192, 48, 3));

    succeed(folder, "train --run r");
    let blind = succeed(folder, "render --run r --policy random --panels dream --size 64x48 --out blind.gif");
    assert!(!blind.contains("left out") && blind.contains("dream"), "V and M suffice for another policy's dream: {blind}");

    succeed(folder, "pack --run r");
    let film = |more: &str, out: &str| {
        let said = succeed(folder, &format!("render --run r --size 64x48 --out {out} {more}"));
        assert!(!said.contains("left out"), "{said}");
        (said, fs::read(folder.join(out)).unwrap())
    };
    let (said, whole) = film("", "whole.gif");
    let number = |after: &str| -> usize {
        let rest = said.split(after).nth(1).unwrap();
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let (steps, frames) = (number("render:"), number(";"));
    // 25 frames for 50 steps a second, and the last step.
    assert_eq!(frames, steps / 2 + 1 + steps % 2, "{said}");
    assert_eq!(gif(&folder.join("whole.gif")), (256, 48, frames), "{said}");
    // Not assert_eq: nobody wants to read the bytes.
    assert!(whole == film("", "again.gif").1, "the same run and seed, the same bytes");
    assert!(whole != film("--seed 1001", "other.gif").1, "another episode");

    without_tools(folder);
}

/// No ffmpeg, and no EGL.
fn without_tools(folder: &Path) {
    let bare = folder.join("empty");
    fs::create_dir(&bare).unwrap();
    let mut mp4 = command(folder, "render --run r --out x.mp4");
    refused_command(mp4.env("PATH", &bare), folder, &["x.mp4", "ffmpeg", ".gif"]);
    let said = command(folder, "render --run r --size 64x48").env("PATH", &bare).output().unwrap();
    assert!(said.status.success() && folder.join("r/render.gif").is_file(), "without ffmpeg a GIF: {}", text(&said.stderr));
    refused_command(&mut command(folder, "render --run r --out x.avi"), folder, &["x.avi", ".mp4 or .gif"]);
    refused_command(&mut command(folder, "render --run nowhere --policy zero"), folder, &["nowhere", "--out"]);

    // An ffmpeg that cannot do what is asked of it: its own words, and nothing left.
    #[cfg(unix)]
    {
        let ffmpeg = bare.join("ffmpeg");
        fs::write(
            &ffmpeg,
            "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\nprintf 'Unknown encoder\\nlibx264\\n' >&2\nexit 1\n",
        )
        .unwrap();
        fs::set_permissions(&ffmpeg, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut mp4 = command(folder, "render --run r --size 64x48 --out x.mp4");
        refused_command(mp4.env("PATH", &bare), folder, &["x.mp4: ffmpeg", "Unknown encoder libx264", ".gif"]);
    }

    // Libraries that are none stand in the way of the real ones.
    for name in ["libEGL.so.1", "libEGL.so"] {
        fs::write(bare.join(name), b"").unwrap();
    }
    let blind = |args: &str| {
        let mut command = command(folder, args);
        command.env("LD_LIBRARY_PATH", &bare);
        command
    };
    if cfg!(target_os = "linux") {
        let mut swimmer = blind("render --env Swimmer-v5 --policy zero --out x.gif");
        refused_command(&mut swimmer, folder, &["Swimmer-v5", "EGL", "libegl1 libgl1-mesa-dri"]);
    }
    // Nothing else needs it: neither a cart's picture nor an episode in MuJoCo.
    for args in
        ["render --run r --size 64x48 --out cart.gif", "collect --run swim --set env=Swimmer-v5 --set collect.steps=1000"]
    {
        let Output { status, stderr, .. } = blind(args).output().unwrap();
        assert!(status.success(), "dreamstep {args}: {}", text(&stderr));
    }
}

/// A picture through OpenGL.
#[test]
fn a_picture_of_mujoco_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let film = |out: &str| {
        let args = "render --env Humanoid-v5 --policy random --panels true,observation --size 96x64 --steps 10 --out";
        command(folder, &format!("{args} {out}")).output().unwrap()
    };
    let Output { status, stdout, stderr } = film("one.gif");
    if !status.success() && text(&stderr).contains("libegl1") {
        return skip::not_installed(&text(&stderr));
    }
    assert!(status.success() && stderr.is_empty(), "{}", text(&stderr));
    // 10 steps of 15 ms, a frame every 40 ms.
    assert!(text(&stdout).contains("render: 10 steps") && gif(&folder.join("one.gif")) == (192, 64, 5), "{}", text(&stdout));
    assert!(film("two.gif").status.success());
    assert_eq!(fs::read(folder.join("one.gif")).unwrap(), fs::read(folder.join("two.gif")).unwrap());
}
