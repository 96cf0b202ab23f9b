/* An agent in ten lines of C: loads it, proves that this machine computes what its packer did, and runs a tick.
 * Usage: ten_lines < agent.safetensors */
#include "dreamstep.h"
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  static uint64_t file[1 << 20]; /* 8 MiB, aligned */
  static dreamstep_model model;
  static dreamstep_agent agent;
  char line[256];
  if (dreamstep_model_load(&model, (uint8_t *)file, fread(file, 1, sizeof file, stdin), DREAMSTEP_BACKEND_AUTO))
    return puts(dreamstep_model_error(&model, line, sizeof line));
  size_t n = dreamstep_model_memory_len(&model), o = dreamstep_model_obs_len(&model), a = dreamstep_model_action_len(&model);
  float *memory = calloc(n, sizeof *memory), *observation = calloc(o, sizeof *observation), *action = calloc(a, sizeof *action);
  if (dreamstep_model_self_test(&model, memory, n)) return puts(dreamstep_model_error(&model, line, sizeof line));
  if (dreamstep_agent_new(&agent, &model, memory, n) || dreamstep_agent_act(&agent, observation, o, action, a) ||
      dreamstep_agent_advance(&agent))
    return puts(dreamstep_agent_error(&agent, line, sizeof line));
  return printf("%+.4f\n", action[0]) < 0;
}
