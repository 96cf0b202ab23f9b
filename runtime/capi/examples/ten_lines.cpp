// An agent in ten lines of C++: loads it, proves that this machine computes what its packer did, and runs a tick.
// Usage: ten_lines agent.safetensors
#include "dreamstep.h"
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

int main(int, char **argv) {
  std::ifstream in(argv[1], std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(in), {}};
  dreamstep_model model;
  dreamstep_agent agent;
  char line[256];
  if (dreamstep_model_load(&model, reinterpret_cast<const uint8_t *>(file.data()), file.size(), DREAMSTEP_BACKEND_AUTO))
    return std::puts(dreamstep_model_error(&model, line, sizeof line));
  std::vector<float> memory(dreamstep_model_memory_len(&model)), observation(dreamstep_model_obs_len(&model)),
      action(dreamstep_model_action_len(&model));
  if (dreamstep_model_self_test(&model, memory.data(), memory.size()))
    return std::puts(dreamstep_model_error(&model, line, sizeof line));
  if (dreamstep_agent_new(&agent, &model, memory.data(), memory.size()) ||
      dreamstep_agent_act(&agent, observation.data(), observation.size(), action.data(), action.size()) ||
      dreamstep_agent_advance(&agent))
    return std::puts(dreamstep_agent_error(&agent, line, sizeof line));
  return std::printf("%+.4f\n", static_cast<double>(action[0])) < 0;
}
