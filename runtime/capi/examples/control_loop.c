/* The shortest honest control loop in C: maps an agent's file, proves that this machine computes what its packer did, and steps it
 * three times. Usage: control_loop agent.safetensors */
#include "dreamstep.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int refused(dreamstep_status status, const char *line) {
  return fprintf(stderr, "%s: %s\n", dreamstep_status_text(status), line), 1;
}

int main(int argc, char **argv) {
  static dreamstep_model model;
  static dreamstep_agent agent;
  static float memory[1 << 14], observation[1024], action[64]; /* or what dreamstep_model_memory_len says, and no more */
  enum { MEMORY = sizeof memory / sizeof *memory };
  char line[256];
  uint64_t digest;
  struct stat file;
  int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
  if (fd < 0 || fstat(fd, &file) != 0) return fprintf(stderr, "usage: %s agent.safetensors\n", argv[0]), 2;
  const void *bytes = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) return perror(argv[1]), 1;
  dreamstep_status status = dreamstep_model_load(&model, bytes, (size_t)file.st_size, DREAMSTEP_BACKEND_AUTO);
  if (!status) status = dreamstep_model_self_test(&model, memory, MEMORY);
  if (status) return refused(status, dreamstep_model_error(&model, line, sizeof line));
  size_t o = dreamstep_model_obs_len(&model), a = dreamstep_model_action_len(&model);
  if (o > 1024 || a > 64) return fprintf(stderr, "expected at most 1024 observations and 64 actions\n"), 1;
  status = dreamstep_agent_new(&agent, &model, memory, MEMORY);
  observation[0] = 1.4f, observation[1] = 1.0f; /* the torso's height and orientation: standing upright */
  for (int tick = 0; tick < 3 && !status; tick++) {
    if ((status = dreamstep_agent_act(&agent, observation, o, action, a))) break; /* then the command goes out */
    if ((status = dreamstep_agent_advance(&agent)) || (status = dreamstep_agent_digest(&agent, &digest))) break;
    printf("tick %d: first torque %+.4f, state %016" PRIx64 "\n", tick, (double)action[0], digest);
  }
  return status ? refused(status, dreamstep_agent_error(&agent, line, sizeof line)) : 0;
}
