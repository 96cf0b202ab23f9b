"""The outside baseline of an ablation: stable-baselines3's PPO on the same environment, with a budget of real steps or of CPU-hours.

    python ppo_baseline.py Humanoid-v5 --steps 10000000 --out RUN/ablation/ppo-steps/result.json
    python ppo_baseline.py Humanoid-v5 --cpu-hours 2 --out RUN/ablation/ppo-cpu/result.json

`dreamstep ablation --run RUN` makes a row of its table of every such file. The hyper-parameters are the library's defaults, those of
PPO's MuJoCo experiments (Schulman et al. 2017: 2048 steps a rollout, batches of 64, 10 epochs, learning rate 3e-4, gamma 0.99,
lambda 0.95, clip 0.2, two layers of 64), with VecNormalize's running whitening of observations and scaling of rewards. The episodes that
judge it are reset(seed), reset(seed + 1), ... of the unmodified environment, with its own rewards and the policy's mean action.

It needs ppo-requirements.txt and a torch that Python can import; neither is part of dreamstep's set-up.
"""

import argparse
import json
import os
import sys
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env", help="environment id, as Gymnasium names it, or as the run does: gym:ID")
    parser.add_argument("--steps", type=int, help="real steps to learn from; whole rollouts are finished")
    parser.add_argument("--cpu-hours", type=float, help="processor time to learn in, all threads; both given: whichever ends first")
    parser.add_argument("--out", required=True, metavar="FILE", help="where to write the result, JSON")
    parser.add_argument("--learning-seed", type=int, default=0, help="of networks and of learning's episodes (0)")
    parser.add_argument("--envs", type=int, default=1, help="environments stepped side by side in this process (1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--episodes", type=int, default=100, help="episodes that judge it (100)")
    parser.add_argument("--seed", type=int, default=1000, help="of the first of them (1000)")
    args = parser.parse_args()
    if args.steps is None and args.cpu_hours is None:
        parser.error("expected --steps, --cpu-hours or both")
    for name in ["steps", "cpu_hours", "envs", "threads", "episodes"]:
        value = getattr(args, name)
        if value is not None and not value > 0:
            parser.error(f"--{name.replace('_', '-')}: expected more than 0, found {value}")
    return args


def learn(args, gymnasium, torch, sb3):
    """The trained policy, its normaliser, and what learning took."""
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    class Budget(BaseCallback):
        """Ends learning when the processor time is spent."""

        def _on_step(self):
            return args.cpu_hours is None or time.process_time() - start < 3600 * args.cpu_hours

    torch.set_num_threads(args.threads)
    envs = VecNormalize(DummyVecEnv([lambda: gymnasium.make(args.env.removeprefix("gym:"))] * args.envs), gamma=0.99)
    model = sb3.PPO("MlpPolicy", envs, seed=args.learning_seed, device="cpu")
    start = time.process_time()
    model.learn(args.steps or sys.maxsize, callback=Budget())
    return model, envs, model.num_timesteps, (time.process_time() - start) / 3600


def judge(args, gymnasium, model, normaliser):
    """Every episode of the protocol."""
    normaliser.training = False
    env, outcomes = gymnasium.make(args.env.removeprefix("gym:")), []
    for episode in range(args.episodes):
        observation, _ = env.reset(seed=args.seed + episode)
        total, length, over = 0.0, 0, False
        while not over:
            # `predict` clips to the action range.
            action, _ = model.predict(normaliser.normalize_obs(observation), deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, length, over = total + float(reward), length + 1, terminated or truncated
        outcomes.append({"return": total, "length": length, "terminated": bool(terminated)})
    return outcomes


def write(path, result):
    """Whole or not at all."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".partial-", delete=False) as file:
        json.dump(result, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main():
    args = arguments()
    try:
        import gymnasium
        import stable_baselines3 as sb3
        import torch
    except ImportError as error:
        sys.exit(f"ppo_baseline.py: {error}: expected what ppo-requirements.txt names, and a full torch")
    try:
        gymnasium.make(args.env.removeprefix("gym:"))
    except gymnasium.error.Error as error:
        sys.exit(f"ppo_baseline.py: {error}")
    model, normaliser, steps, cpu_hours = learn(args, gymnasium, torch, sb3)
    result = {
        "env": args.env,
        "seed": args.seed,
        "what": f"PPO (stable-baselines3 {sb3.__version__})",
        "real_steps": steps,
        "dream_steps": 0,
        "cpu_hours": cpu_hours,
        "outcomes": judge(args, gymnasium, model, normaliser),
        "learning_seed": args.learning_seed,
        "envs": args.envs,
        "versions": {"stable_baselines3": sb3.__version__, "torch": torch.__version__, "gymnasium": gymnasium.__version__},
    }
    write(args.out, result)
    mean = sum(outcome["return"] for outcome in result["outcomes"]) / args.episodes
    print(f"{args.env}: {steps} steps, {cpu_hours:.4f} CPU-hours, mean return {mean:.1f} over {args.episodes} episodes -> {args.out}")


if __name__ == "__main__":
    main()
