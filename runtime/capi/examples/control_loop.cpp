// The same control loop in C++: refusals are thrown. Usage: control_loop agent.safetensors
#include "dreamstep.h"
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

static void must(dreamstep_status status, const dreamstep_model &model) {
  char line[256];
  if (status != DREAMSTEP_STATUS_OK) throw std::runtime_error(dreamstep_model_error(&model, line, sizeof line));
}
static void must(dreamstep_status status, const dreamstep_agent &agent) {
  char line[256];
  if (status != DREAMSTEP_STATUS_OK) throw std::runtime_error(dreamstep_agent_error(&agent, line, sizeof line));
}

int main(int argc, char **argv) try {
  std::ifstream in(argc == 2 ? argv[1] : "", std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(in), {}}; // operator new aligns the bytes
  dreamstep_model model;
  dreamstep_agent agent;
  must(dreamstep_model_load(&model, reinterpret_cast<const uint8_t *>(file.data()), file.size(), DREAMSTEP_BACKEND_AUTO), model);
  std::vector<float> memory(dreamstep_model_memory_len(&model));
  std::vector<float> observation(dreamstep_model_obs_len(&model)), action(dreamstep_model_action_len(&model));
  must(dreamstep_model_self_test(&model, memory.data(), memory.size()), model);
  must(dreamstep_agent_new(&agent, &model, memory.data(), memory.size()), agent);
  observation.at(0) = 1.4f, observation.at(1) = 1.0f; // the torso's height and orientation: standing upright
  for (int tick = 0; tick < 3; tick++) {
    must(dreamstep_agent_act(&agent, observation.data(), observation.size(), action.data(), action.size()), agent);
    must(dreamstep_agent_advance(&agent), agent); // the command is out
    uint64_t digest = 0;
    must(dreamstep_agent_digest(&agent, &digest), agent);
    std::printf("tick %d: first torque %+.4f, state %016" PRIx64 "\n", tick, static_cast<double>(action[0]), digest);
  }
} catch (const std::exception &error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
