/* The shortest honest control loop in C: maps an agent's file, proves that this machine computes what its packer did, and steps it
 * three times. Usage: control_loop agent.safetensors */
#include "dreamstep.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char message[256];

static void must(dreamstep_status status) {
  if (status != DREAMSTEP_STATUS_OK) {
    fprintf(stderr, "status %d: %s\n", (int)status, message);
    exit(1);
  }
}

int main(int argc, char **argv) {
  static dreamstep_model model;
  static dreamstep_agent agent;
  static float memory[1 << 14]; /* on a microcontroller: what dreamstep_memory_len says, and no more */
  float observation[1024] = {0}, action[64];
  dreamstep_model_info info;
  uint64_t digest;
  struct stat file;
  int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
  if (fd < 0 || fstat(fd, &file) != 0) {
    fprintf(stderr, "usage: %s agent.safetensors\n", argv[0]);
    return 2;
  }
  void *bytes = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) {
    perror(argv[1]);
    return 1;
  }
  must(dreamstep_model_load(&model, bytes, (size_t)file.st_size, DREAMSTEP_BACKEND_AUTO, message, sizeof message));
  must(dreamstep_model_get_info(&model, &info, message, sizeof message));
  must(dreamstep_self_test(&model, memory, sizeof memory / sizeof *memory, message, sizeof message));
  if (info.dims.obs > 1024 || info.dims.action > 64) {
    fprintf(stderr, "%s: expected at most 1024 observations and 64 actions\n", argv[1]);
    return 1;
  }
  printf("self-test passed on back end %s\n", dreamstep_backend_name(info.backend));

  must(dreamstep_agent_new(&agent, &model, memory, sizeof memory / sizeof *memory, message, sizeof message));
  observation[0] = 1.4f; /* the torso's height, standing */
  observation[1] = 1.0f; /* and its orientation: upright */
  for (int tick = 0; tick < 3; tick++) {
    must(dreamstep_act(&agent, observation, info.dims.obs, action, info.dims.action, message, sizeof message));
    /* the command goes out here */
    must(dreamstep_advance(&agent, message, sizeof message));
    must(dreamstep_digest(&agent, &digest, message, sizeof message));
    printf("tick %d: first torque %+.4f, state %016" PRIx64 "\n", tick, (double)action[0], digest);
  }
  return 0;
}
